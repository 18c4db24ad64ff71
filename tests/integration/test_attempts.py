"""The ATTEMPT server with fakes for verifier, budget and judge."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import pytest

from extproc.decide.attempts import AttemptContext, CarriedPlan, Continuation
from extproc.errors import ProtocolError
from extproc.facts.answer import Usage
from extproc.protocol import names
from extproc.protocol.events import AnswerReady
from extproc.protocol.wire import ext_proc_pb2 as wire
from extproc.server.attempts import AttemptServer
from extproc.server.verification import Checked
from extproc.telemetry.records import AttemptRecord
from extproc.verify.judge import JudgeCall
from extproc.verify.verdict import Verdict, VerdictKind

PLAN = "2;api=chat_completions;retries=1;verify=1;spec=1;start=1000;try=a:1|m|0.5||;try=a:2|n|0.4||"
ACCEPTED = Verdict(VerdictKind.ACCEPTED)
REJECTED = Verdict(VerdictKind.REJECTED, "contract.schema")
CALL = JudgeCall(url="http://judge", headers=(), body=b"{}", timeout_seconds=3.0)


class FakeVerifier:
    """Says what it was told to say."""

    def __init__(self, checked: Checked, judged: Verdict = ACCEPTED) -> None:
        self.checked, self.word = checked, judged
        self.seen: list[tuple[CarriedPlan, AnswerReady]] = []
        self.replies: list[tuple[int | None, bytes]] = []

    def verify(self, plan: CarriedPlan, answer: AnswerReady) -> Checked:
        self.seen.append((plan, answer))
        return self.checked

    def judged(self, checked: Checked, status: int | None, reply: bytes) -> Verdict:
        assert checked is self.checked
        self.replies.append((status, reply))
        return self.word


class FakeStream:
    """One stream of messages; remembers the answers."""

    def __init__(self, messages: Iterable[wire.ProcessingRequest]) -> None:
        self._messages = iter(messages)
        self.answers: list[wire.ProcessingResponse] = []

    async def read(self) -> Any:
        from grpc.aio import EOF  # type: ignore[attr-defined] # grpc-stubs lacks EOF

        return next(self._messages, EOF)

    async def write(self, answer: wire.ProcessingResponse) -> None:
        self.answers.append(answer)

    def mark(self, name: str) -> str | None:
        """Value of a header that the last answer sets."""
        mutation = self.answers[-1].response_body.response.header_mutation
        found = {option.header.key: option.header.raw_value.decode() for option in mutation.set_headers}
        return found.get(name)


class FakeListener:
    """Remembers the tries that it was told of."""

    def __init__(self) -> None:
        self.records: list[AttemptRecord] = []

    def attempted(self, record: AttemptRecord) -> None:
        self.records.append(record)

    def decided(self, record: Any) -> None:
        raise AssertionError

    def finished(self, outcome: Any) -> None:
        raise AssertionError


def message(headers: dict[str, str], *, is_request: bool) -> wire.ProcessingRequest:
    """Request or response headers."""
    result = wire.ProcessingRequest()
    target = result.request_headers if is_request else result.response_headers
    for key, value in headers.items():
        target.headers.headers.add(key=key, raw_value=value.encode())
    return result


def a_try(address: str = "a:1", count: int = 1) -> list[wire.ProcessingRequest]:
    """The messages of a try that is answered with JSON."""
    headers = message(
        {
            names.ATTEMPT_LIMITS: PLAN,
            names.ATTEMPT_COUNT: str(count),
            names.DECISION_ID: "d",
            names.REQUEST_ID: "r",
        },
        is_request=True,
    )
    headers.attributes["envoy.filters.http.ext_proc"].update({names.ATTRIBUTE_UPSTREAM_ADDRESS: address})
    answer = {":status": "200", "content-type": "application/json", "content-length": "2"}
    body = wire.ProcessingRequest(response_body=wire.HttpBody(body=b"{}", end_of_stream=True))
    request = wire.ProcessingRequest(request_body=wire.HttpBody(body=b'{"model":"m"}', end_of_stream=True))
    tailored = [request] if address == "a:2" else []
    return [headers, *tailored, message(answer, is_request=False), body]


@pytest.fixture
def listener() -> FakeListener:
    """A listener with nothing heard yet."""
    return FakeListener()


@pytest.fixture
def serve(listener: FakeListener) -> Callable[..., FakeStream]:
    """Serve one stream to its end with the collaborators given; the clock shows 2.5 seconds."""

    def run(messages: Iterable[wire.ProcessingRequest], **collaborators: Any) -> FakeStream:
        stream = FakeStream(messages)
        server = AttemptServer(
            listener=listener, clock_ns=lambda: 2_500_000_000, max_answer_bytes=100, **collaborators
        )
        context: Any = stream
        asyncio.run(asyncio.wait_for(server.serve(context, "trace"), timeout=10))
        return stream

    return run


def test_a_verdict_reaches_client_and_listeners(
    serve: Callable[..., FakeStream], listener: FakeListener
) -> None:
    """The answer is let go with its marks, and the record holds what was known of the try."""
    learned: list[AttemptRecord] = []
    verifier = FakeVerifier(Checked(ACCEPTED, Usage(prompt_tokens=11, completion_tokens=7)))
    stream = serve(a_try(), verifier=verifier, on_verdict=learned.append)

    assert ("accepted", "1500") == (stream.mark(names.VERDICT), stream.mark(names.ELAPSED))
    [record] = listener.records
    assert [record] == learned
    assert ("trace", "r", "d", "a:1", "m", 1, 0.5, 7, 1.5, False, False) == (
        record.traceparent, record.request_id, record.decision_id, record.address, record.model, record.number,
        record.chance, record.completion_tokens, record.elapsed_seconds, record.goes_on, record.is_last,
    )  # fmt: skip
    assert (11, 1, False) == (record.prompt_tokens, record.choices, record.was_cut)
    assert record.answer_seconds is not None
    assert 0.0 <= record.answer_seconds <= record.seconds
    [(plan, answer)] = verifier.seen
    assert ("1", b"{}") == (plan.spec, answer.body)


def test_the_record_tells_what_the_length_is_of(
    serve: Callable[..., FakeStream], listener: FakeListener
) -> None:
    """How many answers were asked for, and whether a limit ended one of them."""
    checked = Checked(ACCEPTED, Usage(prompt_tokens=11, completion_tokens=7), was_cut=True)
    serve(a_try(), verifier=FakeVerifier(checked))

    [record] = listener.records
    assert (1, True) == (record.choices, record.was_cut)


@pytest.mark.parametrize("goes_on", [True, False])
def test_the_budget_decides_after_a_rejection(
    serve: Callable[..., FakeStream], listener: FakeListener, goes_on: bool
) -> None:
    """It hears what failed and what would follow; its word is carried out and kept."""
    asked: list[AttemptContext] = []

    def budget(context: AttemptContext) -> Continuation:
        asked.append(context)
        planned = Continuation.as_planned(context, "because")
        return planned if goes_on else replace(planned, following=None)

    stream = serve(a_try(), verifier=FakeVerifier(Checked(REJECTED)), go_on=budget)

    assert ("rejected", "1" if goes_on else None) == (stream.mark(names.VERDICT), stream.mark(names.RETRY))
    assert ("a:2", "contract.schema", 1.5) == (
        asked[0].next_attempt.address, asked[0].reason, asked[0].elapsed_seconds,
    )  # fmt: skip
    assert (goes_on, "because") == (listener.records[0].goes_on, listener.records[0].budget)


def test_the_last_rejected_answer_is_delivered_unasked(
    serve: Callable[..., FakeStream], listener: FakeListener
) -> None:
    """There is nothing to decide."""

    def budget(_context: AttemptContext) -> tuple[bool, str]:
        raise AssertionError

    stream = serve(a_try("a:2", 2), verifier=FakeVerifier(Checked(REJECTED)), go_on=budget)

    assert ("rejected", None) == (stream.mark(names.VERDICT), stream.mark(names.RETRY))
    assert (True, "") == (listener.records[0].is_last, listener.records[0].budget)


def test_the_judge_has_the_last_word(serve: Callable[..., FakeStream]) -> None:
    """Envoy is first asked to wait as long as the judge may take."""
    verifier = FakeVerifier(Checked(ACCEPTED, judge_call=CALL), judged=REJECTED)

    async def judge(call: JudgeCall) -> tuple[int | None, bytes]:
        assert call is CALL
        return 200, b"no"

    stream = serve(a_try(), verifier=verifier, ask_judge=judge)

    assert "rejected" == stream.mark(names.VERDICT)
    assert [(200, b"no")] == verifier.replies
    assert 4_000 == stream.answers[-2].override_message_timeout.ToMilliseconds()


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (b'{"error": {"message": "maximum context length is 8"}}', [("d", "a:1", True, "")]),
        (b'{"error": {"message": "temperature must be 0 or more"}}', []),
    ],
)
def test_an_overflow_of_a_plan_that_is_not_watched_otherwise_is_told(
    serve: Callable[..., FakeStream], listener: FakeListener, error: bytes, expected: list[tuple[Any, ...]]
) -> None:
    """Whoever keeps the charges hears of the retry, and of nothing where the client gets the 400; no try is traced."""
    heard: list[AttemptRecord] = []
    request = message({names.ATTEMPT_LIMITS: "1;overflow=a:1", names.DECISION_ID: "d"}, is_request=True)
    request.attributes["envoy.filters.http.ext_proc"].update({names.ATTRIBUTE_UPSTREAM_ADDRESS: "a:1"})
    answer = {":status": "400", "content-type": "application/json", "content-length": str(len(error))}
    body = wire.ProcessingRequest(response_body=wire.HttpBody(body=error, end_of_stream=True))
    serve([request, message(answer, is_request=False), body], on_verdict=heard.append)

    assert expected == [(one.decision_id, one.address, one.is_overflow, one.next_address) for one in heard]
    assert [] == listener.records


def test_without_a_verifier_nothing_is_judged(
    serve: Callable[..., FakeStream], listener: FakeListener
) -> None:
    """The answer goes on, and says so."""
    stream = serve(a_try())

    assert ("unverified", "skipped.no_verifier") == (
        stream.mark(names.VERDICT), stream.mark(names.VERDICT_REASON),
    )  # fmt: skip
    assert None is listener.records[0].completion_tokens


def test_a_try_that_is_broken_off_is_on_record_without_an_answer(
    serve: Callable[..., FakeStream], listener: FakeListener
) -> None:
    """The client left, the try was given up, or the instance failed: nobody judged anything, and the trace shows the try."""
    learned: list[AttemptRecord] = []
    for broken_off in (a_try()[:-1], a_try()[:1]):
        serve(broken_off, verifier=FakeVerifier(Checked(ACCEPTED)), on_verdict=learned.append)

    assert [(VerdictKind.UNVERIFIED, "skipped.no_answer", False, False)] * 2 == [
        (record.verdict.kind, record.verdict.reason, record.has_answer, record.goes_on)
        for record in listener.records
    ]
    assert learned == listener.records


@pytest.mark.parametrize(("address", "count", "goes_on"), [("a:1", 1, True), ("a:2", 2, False)])
def test_a_failing_status_is_followed_by_envoys_own_retry(
    serve: Callable[..., FakeStream], listener: FakeListener, address: str, count: int, goes_on: bool
) -> None:
    """It needs no sign for that, and the record says so; the last one's error is delivered."""
    tailored = a_try(address, count)[:-2]
    answer = {":status": "503", "content-type": "application/json", "content-length": "2"}
    stream = serve([*tailored, message(answer, is_request=False)], verifier=FakeVerifier(Checked(ACCEPTED)))

    [record] = listener.records
    assert ("skipped.status_503", goes_on, True) == (
        record.verdict.reason, record.goes_on, record.has_answer,
    )  # fmt: skip
    mutation = stream.answers[-1].response_headers.response.header_mutation
    assert names.RETRY not in {option.header.key for option in mutation.set_headers}


def test_a_message_out_of_turn_fails_the_stream(serve: Callable[..., FakeStream]) -> None:
    """Envoy then delivers the answer as it is."""
    with pytest.raises(ProtocolError):
        serve(a_try()[1:])
