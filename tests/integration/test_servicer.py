from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from typing import Any

import grpc
import pytest

from extproc.calibrate.outcome import Outcome
from extproc.decide.plan import Attempt, Plan
from extproc.errors import NoInstanceError
from extproc.facts.parse import parse_request
from extproc.facts.wish import Wish
from extproc.protocol import names
from extproc.protocol.wire import ext_proc_pb2 as wire
from extproc.server.servicer import ExternalProcessor
from extproc.telemetry.records import AttemptRecord, DecideRecord

CHAT = b'{"model": "auto", "messages": [{"role": "user", "content": "hello"}]}'
SAMPLED = f"00-{'a' * 32}-{'b' * 16}-01"
UNSAMPLED = f"00-{'a' * 32}-{'b' * 16}-00"
TIMEOUT_SECONDS = 10.0

PLAN = Plan(
    decision_id="decision-1",
    attempts=(Attempt(address="10.0.0.1:8000", cluster="a", model="a", work_seconds=1.0),),
    route_cluster="a",
    max_retries=0,
    timeout_seconds=30.0,
    per_try_timeout_seconds=None,
    model=None,
    pool="short",
    budget=None,
    candidates=1,
    reason="only one",
)

Make = Callable[..., wire.ProcessingRequest]


async def test_a_request_is_decided(service: Any, decide_headers: Make, decide_body: Make) -> None:
    """Two messages, two answers, the end of the stream, and a record of it."""
    service.router.model = "a"

    first, second = await service.exchange([decide_headers(), decide_body(CHAT)])

    assert wire.ProcessingResponse(request_headers=wire.HeadersResponse()) == first
    assert CHAT.replace(b"auto", b"a") == second.request_body.response.body_mutation.body
    (record,) = service.listener.decisions
    assert ("request-1", "auto", "decision-1", None, ()) == (
        record.request_id,
        record.facts.model,
        record.plan.decision_id,
        record.error,
        record.stages,
    )
    assert record.start_unix_ns < record.end_unix_ns
    assert [] == service.router.abandoned


async def test_the_stream_ends_with_the_answer(service: Any, decide_headers: Make, decide_body: Make) -> None:
    """The service does not wait for Envoy to close its side."""
    call = service.open()
    await call.write(decide_headers())
    await call.read()
    await call.write(decide_body(CHAT))
    await call.read()

    async with asyncio.timeout(TIMEOUT_SECONDS):
        assert not isinstance(await call.read(), wire.ProcessingResponse)
        assert grpc.StatusCode.OK is await call.code()


async def test_a_request_without_a_body_is_decided_in_one_message(service: Any, decide_headers: Make) -> None:
    """It passes through to any instance."""
    (answer,) = await service.exchange([decide_headers("GET", "/v1/models", end_of_stream=True)])

    assert answer.request_headers.response.clear_route_cache
    assert service.router.seen[0].model is None


async def test_a_stream_without_a_role_is_decided(
    service: Any, decide_headers: Make, decide_body: Make
) -> None:
    """Another gateway that speaks protocol 004 names no role."""
    answers = await service.exchange([decide_headers(), decide_body(CHAT)], role=None)

    assert 2 == len(answers)


async def test_stages_are_timed_for_sampled_requests_alone(
    service: Any, decide_headers: Make, decide_body: Make
) -> None:
    """They follow each other without a gap, and the trace context is handed on."""
    for traceparent in (SAMPLED, UNSAMPLED, "nonsense"):
        await service.exchange([decide_headers(), decide_body(CHAT)], traceparent=traceparent)

    sampled, unsampled, nonsense = service.listener.decisions
    assert ["parse", "eligible", "assign", "encode"] == [stage.name for stage in sampled.stages]
    for before, after in zip(sampled.stages, sampled.stages[1:], strict=False):
        assert before.end_unix_ns == after.start_unix_ns
    assert SAMPLED == sampled.traceparent
    assert () == unsampled.stages == nonsense.stages


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"{", 400), (b'{"messages": []}', 400), (b"[" * 3000, 400), (b" " * 5000, 413), (b"\xff\xfe{", 400)],
)
async def test_a_bad_body_gets_an_openai_error(
    service: Any, decide_headers: Make, decide_body: Make, body: bytes, status: int
) -> None:
    """The client is told, the record says why, and the router never sees the request."""
    _, answer = await service.exchange([decide_headers(), decide_body(body)])

    assert status == answer.immediate_response.status.code
    assert {"message", "type", "param", "code"} == set(json.loads(answer.immediate_response.body)["error"])
    (record,) = service.listener.decisions
    assert status == record.error.http_status
    assert record.plan is None
    assert [] == service.router.seen


async def test_a_refused_request_is_told_so(service: Any, decide_headers: Make, decide_body: Make) -> None:
    """An error of routing becomes the client's answer, with its reason."""
    service.router.error = NoInstanceError("Nobody is healthy.", reason="no-instance")

    _, answer = await service.exchange([decide_headers(), decide_body(CHAT)])

    assert 503 == answer.immediate_response.status.code
    headers = {
        option.header.key: option.header.raw_value for option in answer.immediate_response.headers.set_headers
    }
    assert b"no-instance" == headers[names.ERROR_REASON]


async def test_our_mistake_fails_the_stream(
    service: Any, decide_headers: Make, decide_body: Make, caplog: pytest.LogCaptureFixture
) -> None:
    """Envoy gets a status to fail open on; the log names the request and quotes nothing of it."""
    service.router.error = KeyError("hello")
    with caplog.at_level(logging.ERROR), pytest.raises(grpc.aio.AioRpcError) as raised:
        await service.exchange([decide_headers(), decide_body(CHAT)])

    assert grpc.StatusCode.INTERNAL is raised.value.code()
    assert [] == service.listener.decisions
    assert "request-1: KeyError" in caplog.text
    assert "hello" not in caplog.text
    assert "hello" not in (raised.value.details() or "")


async def test_a_message_out_of_turn_fails_the_stream(
    service: Any, decide_body: Make, caplog: pytest.LogCaptureFixture
) -> None:
    """A body before its headers is Envoy's mistake, and is logged as such."""
    with caplog.at_level(logging.WARNING), pytest.raises(grpc.aio.AioRpcError) as raised:
        await service.exchange([decide_body(CHAT)])

    assert grpc.StatusCode.FAILED_PRECONDITION is raised.value.code()
    assert "unexpected message" in caplog.text


async def test_a_stream_that_ends_early_decides_nothing(service: Any, decide_headers: Make) -> None:
    """A client that leaves before its body is complete costs nothing."""
    answers = await service.exchange([decide_headers()])

    assert 1 == len(answers)
    assert [] == service.router.seen
    assert [] == service.listener.decisions


async def test_a_plan_that_cannot_be_encoded_is_abandoned(
    service: Any, decide_headers: Make, decide_body: Make, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing stays charged for a plan that Envoy never got."""
    service.router.model = "a"
    with caplog.at_level(logging.ERROR), pytest.raises(grpc.aio.AioRpcError):
        # Passed through unread, so that a plan with a model of its own has nowhere to put it.
        await service.exchange([decide_headers(path="/v1/other"), decide_body(b"{}")])

    assert ["decision-1"] == [plan.decision_id for plan in service.router.abandoned]
    assert [] == service.listener.decisions


async def test_a_plan_that_cannot_be_delivered_is_abandoned(decide_headers: Make, decide_body: Make) -> None:
    """Envoy resets the stream while the answer is under way: the plan is given up, and nobody is told of it."""
    abandoned: list[str] = []
    told: list[Any] = []

    class ResetContext:
        """A stream that is reset at its second answer."""

        incoming = iter([decide_headers(), decide_body(CHAT)])
        answers = 0

        def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
            return ((names.ROLE, names.ROLE_DECIDE),)

        async def read(self) -> wire.ProcessingRequest:
            return next(self.incoming)

        async def write(self, _answer: wire.ProcessingResponse) -> None:
            self.answers += 1
            if self.answers == 2:
                raise asyncio.CancelledError

    class Listener:
        def decided(self, record: DecideRecord) -> None:
            told.append(record)

        def attempted(self, record: AttemptRecord) -> None:
            told.append(record)

        def finished(self, outcome: Outcome) -> None:
            told.append(outcome)

    processor = ExternalProcessor(
        parse=parse_request,
        route=lambda _facts, _on_stage: PLAN,
        abandon=lambda plan: abandoned.append(plan.decision_id),
        listener=Listener(),
        clock_ns=lambda: 0,
        max_body_bytes=4096,
    )

    context: Any = ResetContext()
    with pytest.raises(asyncio.CancelledError):
        await processor.process(context, context)

    assert [PLAN.decision_id] == abandoned
    assert [] == told


async def test_an_overflow_is_retried(service: Any) -> None:
    """The ATTEMPT role: headers, a 400, its body, and the header that makes Envoy retry."""
    headers = wire.ProcessingRequest()
    headers.request_headers.headers.headers.add(
        key=names.ATTEMPT_LIMITS, raw_value=b"1;overflow=10.0.0.1:8000"
    )
    headers.attributes["envoy.filters.http.ext_proc"].update(
        {names.ATTRIBUTE_UPSTREAM_ADDRESS: "10.0.0.1:8000"}
    )
    rejected = wire.ProcessingRequest()
    error = b'{"error": {"message": "This model\'s maximum context length is 8 tokens."}}'
    for key, value in (
        (":status", b"400"),
        ("content-type", b"application/json"),
        ("content-length", b"%d" % len(error)),
    ):
        rejected.response_headers.headers.headers.add(key=key, raw_value=value)
    body = wire.ProcessingRequest(response_body=wire.HttpBody(body=error, end_of_stream=True))

    answers = await service.exchange([headers, rejected, body], role=names.ROLE_ATTEMPT)

    assert ["request_headers", "response_headers", "response_body"] == [
        answer.WhichOneof("response") for answer in answers
    ]
    (option,) = answers[-1].response_body.response.header_mutation.set_headers
    assert names.RETRY == option.header.key
    assert [] == service.listener.decisions


async def test_feedback_is_answered_here(service: Any, decide_headers: Make, decide_body: Make) -> None:
    """It is no request for an instance: nobody routes it, and nobody is told of a decision."""
    headers = decide_headers(path="/v1/feedback")
    _, known = await service.exchange([headers, decide_body(b'{"session": "s", "correct": true}')])
    _, refused = await service.exchange([headers, decide_body(b"{}")])

    assert (202, {"known": False}) == (
        known.immediate_response.status.code, json.loads(known.immediate_response.body),
    )  # fmt: skip
    assert 400 == refused.immediate_response.status.code
    assert [] == service.router.seen


async def test_a_malformed_expectation_is_refused(
    service: Any, decide_headers: Make, decide_body: Make
) -> None:
    """Whether the plan will be verified or not: the client counts on it."""
    headers = decide_headers()
    headers.request_headers.headers.headers.add(key=names.EXPECT, raw_value=b"nonsense")
    _, answer = await service.exchange([headers, decide_body(CHAT)])

    assert 400 == answer.immediate_response.status.code


async def test_a_wish_reaches_the_router(service: Any, decide_headers: Make, decide_body: Make) -> None:
    """What the client wishes to be weighed is a fact about its request."""
    await service.exchange([decide_headers(x_ttca_preset="cost"), decide_body(CHAT)])

    (record,) = service.listener.decisions
    assert Wish(preset="cost") == record.facts.wish


async def test_a_malformed_wish_is_refused(service: Any, decide_headers: Make, decide_body: Make) -> None:
    """400, with the header at fault, before anything is decided."""
    _, answer = await service.exchange(
        [decide_headers(x_ttca_weights="quality=1,latency=0,cost=1"), decide_body(CHAT)]
    )

    assert 400 == answer.immediate_response.status.code
    assert "x-ttca-weights" == json.loads(answer.immediate_response.body)["error"]["param"]


async def test_an_attempt_out_of_turn_fails_the_stream(service: Any, decide_body: Make) -> None:
    """The ATTEMPT role refuses what cannot be, too."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await service.exchange([decide_body(b"")], role=names.ROLE_ATTEMPT)

    assert grpc.StatusCode.FAILED_PRECONDITION is raised.value.code()


async def test_many_streams_at_once_do_not_mix(service: Any, decide_headers: Make, decide_body: Make) -> None:
    """Each stream has an exchange of its own."""
    bodies = [CHAT.replace(b"hello", b"h" * size) for size in range(1, 41)]

    answers = await asyncio.gather(
        *(service.exchange([decide_headers(), decide_body(body)]) for body in bodies)
    )

    assert [2] * len(bodies) == [len(pair) for pair in answers]
    assert {len(body) for body in bodies} == {facts.body_bytes for facts in service.router.seen}
    assert len(bodies) == len(service.listener.decisions)
