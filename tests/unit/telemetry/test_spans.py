from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from extproc.calibrate.outcome import DecisionRecord, Outcome, Usage
from extproc.errors import BadRequestError
from extproc.facts.request import Api, RequestFacts
from extproc.telemetry.records import AttemptRecord, DecideRecord
from extproc.telemetry.spans import SpanListener, prompt_estimate_error
from extproc.verify.verdict import Verdict, VerdictKind

TRACE_ID = bytes.fromhex("4bf92f3577b34da6a3ce929d0e0e4736")
PARENT_ID = bytes.fromhex("00f067aa0ba902b7")


@pytest.fixture
def listener(sink: Any, ids: Any) -> SpanListener:
    """A listener that tells the recording sink."""
    return SpanListener(sink, ids)


def test_decision_is_a_child_of_envoys_call(
    listener: SpanListener, sink: Any, a_decide_record: Callable[..., DecideRecord]
) -> None:
    """The decision's span continues the context that Envoy sent with the call, with the record's own times."""
    listener.decided(a_decide_record())

    span = sink.spans[0]
    assert ("ttca.decide", Span.SPAN_KIND_SERVER) == (span.name, span.kind)
    assert (TRACE_ID, PARENT_ID) == (span.trace_id, span.parent_span_id)
    assert (1_000_000, 1_600_000) == (span.start_time_unix_nano, span.end_time_unix_nano)
    assert Status.STATUS_CODE_UNSET == span.status.code


def test_stages_are_children_of_the_decision(
    listener: SpanListener, sink: Any, a_decide_record: Callable[..., DecideRecord]
) -> None:
    """Each stage is a span of its own under the decision, in order, all told to the sink in one piece."""
    listener.decided(a_decide_record())

    decision, *stages = sink.spans
    assert ["ttca.parse", "ttca.estimate", "ttca.eligible", "ttca.assign", "ttca.encode"] == [
        span.name for span in stages
    ]
    assert {decision.span_id} == {span.parent_span_id for span in stages}
    assert 6 == len({span.span_id for span in sink.spans})
    assert [6] == sink.counts


def test_decision_says_what_was_asked_and_chosen(
    listener: SpanListener, sink: Any, a_decide_record: Callable[..., DecideRecord]
) -> None:
    """The decision carries the request by the GenAI conventions and the plan in our own words."""
    listener.decided(a_decide_record())

    assert {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "auto",
        "gen_ai.request.stream": True,
        "gen_ai.request.max_tokens": 250,
        "ttca.body_bytes": 1200,
        "ttca.request_id": "r-1",
        "ttca.decision_id": "d-1",
        "ttca.pool": "short",
        "ttca.cluster": "qwen-short",
        "ttca.instance": "10.0.0.1:8000",
        "ttca.plan": ["10.0.0.1:8000", "10.0.0.2:8000", "10.0.0.3:8000"],
        "ttca.work_seconds": 0.5,
        "ttca.max_retries": 2,
        "ttca.candidates": 4,
        "ttca.reason": "threshold:least_work",
        "ttca.token_budget.prompt": 300,
        "ttca.token_budget.prompt_upper": 350,
        "ttca.token_budget.output": 250,
        "ttca.token_budget.total": 600,
    } == sink.attributes(0)


def test_several_choices_are_told(
    listener: SpanListener, sink: Any, a_decide_record: Callable[..., DecideRecord]
) -> None:
    """The number of choices is set only when it is not one, as the conventions ask."""
    listener.decided(a_decide_record(facts=RequestFacts(api=Api.COMPLETIONS, model="m", choices=3)))

    assert 3 == sink.attributes(0)["gen_ai.request.choice.count"]


def test_refusal_is_an_error(
    listener: SpanListener, sink: Any, a_decide_record: Callable[..., DecideRecord]
) -> None:
    """A refused request gives a span in error with the error's type, reason and status."""
    error = BadRequestError("too long", reason="context_length")

    listener.decided(a_decide_record(plan=None, facts=None, error=error, stages=()))

    assert (Status.STATUS_CODE_ERROR, "too long") == (sink.spans[0].status.code, sink.spans[0].status.message)
    assert {
        "ttca.request_id": "r-1",
        "error.type": "BadRequestError",
        "ttca.error_reason": "context_length",
        "http.response.status_code": 400,
    } == sink.attributes(0)


@pytest.mark.parametrize(
    "header", ["", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00", "nonsense"]
)
def test_unsampled_requests_leave_no_span(
    listener: SpanListener,
    sink: Any,
    a_decide_record: Callable[..., DecideRecord],
    an_outcome: Callable[..., Outcome],
    header: str,
) -> None:
    """Requests that Envoy does not sample are not told to anyone."""
    listener.decided(a_decide_record(traceparent=header))
    listener.finished(an_outcome(traceparent=header))

    assert [] == sink.spans


def test_finished_request_is_a_genai_client_span(
    listener: SpanListener, sink: Any, an_outcome: Callable[..., Outcome]
) -> None:
    """A finished request gives a span over its whole time, named by operation and model, with usage."""
    listener.finished(an_outcome())

    span = sink.spans[0]
    assert ("chat qwen", Span.SPAN_KIND_CLIENT) == (span.name, span.kind)
    assert (TRACE_ID, PARENT_ID) == (span.trace_id, span.parent_span_id)
    assert (2_000_000_000, 3_500_000_000) == (span.start_time_unix_nano, span.end_time_unix_nano)
    assert {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "vllm",
        "gen_ai.response.model": "qwen",
        "gen_ai.usage.input_tokens": 400,
        "gen_ai.usage.output_tokens": 120,
        "http.response.status_code": 200,
        "server.address": "10.0.0.2",
        "server.port": 8000,
        "ttca.attempts": 2,
        "ttca.decision_id": "d-1",
        "ttca.estimate.error_ratio": -0.25,
        "ttca.pool": "short",
        "ttca.request_id": "r-1",
        "ttca.served_instance": "10.0.0.2:8000",
        "ttca.ttft_seconds": 0.25,
    } == sink.attributes(0)
    assert Status.STATUS_CODE_UNSET == span.status.code


@pytest.mark.parametrize(
    ("changes", "error_type"),
    [
        ({"status": 503, "flags": ("UF",)}, "503"),
        ({"status": 0, "flags": ("DC",)}, "DC"),
        ({"status": 0}, "no_response"),
        ({"status": 200, "flags": ("UC",)}, "UC"),
    ],
)
def test_failed_requests_are_errors(
    listener: SpanListener,
    sink: Any,
    an_outcome: Callable[..., Outcome],
    changes: dict[str, Any],
    error_type: str,
) -> None:
    """A bad status, no status, and an answer that was cut short each give a span in error."""
    listener.finished(an_outcome(**changes))

    assert Status.STATUS_CODE_ERROR == sink.spans[0].status.code
    assert error_type == sink.attributes(0)["error.type"]


def test_unknown_figures_are_left_out(
    listener: SpanListener, sink: Any, an_outcome: Callable[..., Outcome]
) -> None:
    """What nobody reported is absent, never zero."""
    listener.finished(
        an_outcome(decision=None, usage=None, ttft_seconds=None, served_address=None, status=0, attempts=0)
    )

    assert {
        "gen_ai.operation.name",
        "gen_ai.provider.name",
        "ttca.request_id",
        "ttca.attempts",
        "error.type",
    } == set(sink.attributes(0))


@pytest.mark.parametrize(
    ("expected_tokens", "usage", "error"),
    [
        (300, Usage(prompt_tokens=400, completion_tokens=None), -0.25),
        (500, Usage(prompt_tokens=400, completion_tokens=None), 0.25),
        (300, Usage(prompt_tokens=None, completion_tokens=1), None),
        (300, Usage(prompt_tokens=0, completion_tokens=1), None),
        (None, Usage(prompt_tokens=400, completion_tokens=1), None),
        (300, None, None),
    ],
)
def test_estimate_error_is_signed_and_relative(
    an_outcome: Callable[..., Outcome],
    a_decision_record: Callable[..., DecisionRecord],
    expected_tokens: int | None,
    usage: Usage | None,
    error: float | None,
) -> None:
    """The error of the estimate is relative to the truth, negative when too small, None when unknown."""
    outcome = an_outcome(decision=a_decision_record(prompt_tokens=expected_tokens), usage=usage)

    assert error == prompt_estimate_error(outcome)


def test_a_try_has_a_span_with_its_verdict(
    listener: SpanListener, sink: Any, an_attempt_record: Callable[..., AttemptRecord]
) -> None:
    """It continues Envoy's call and says who answered, what was thought of it and what follows."""
    listener.attempted(an_attempt_record())

    [span] = sink.spans
    assert ("ttca.attempt", TRACE_ID, PARENT_ID) == (span.name, span.trace_id, span.parent_span_id)
    assert (1_000_000, 3_000_000) == (span.start_time_unix_nano, span.end_time_unix_nano)
    assert {
        "gen_ai.operation.name": "chat",
        "gen_ai.response.model": "qwen",
        "gen_ai.usage.output_tokens": 120,
        "ttca.attempt.chance": 0.6,
        "ttca.attempt.checks": ["transport"],
        "ttca.attempt.number": 1,
        "ttca.attempt.verdict": "rejected",
        "ttca.attempt.verdict_reason": "contract.schema",
        "ttca.decision_id": "d-1",
        "ttca.elapsed_seconds": 0.75,
        "ttca.instance": "10.0.0.1:8000",
        "ttca.request_id": "r-1",
    } == sink.attributes(0)
    [event] = span.events
    assert ("ttca.budget", 3_000_000) == (event.name, event.time_unix_nano)
    told = {item.key: item.value for item in event.attributes}
    assert told["ttca.budget.goes_on"].bool_value
    assert "worth-it" == told["ttca.budget.reason"].string_value
    assert b"secret" not in span.SerializeToString()


def test_only_a_rejection_has_a_word_of_the_budget(
    listener: SpanListener, sink: Any, an_attempt_record: Callable[..., AttemptRecord]
) -> None:
    """An accepted answer ends the plan without asking; unsampled tries have no span at all."""
    listener.attempted(an_attempt_record(verdict=Verdict(VerdictKind.ACCEPTED), goes_on=False))
    listener.attempted(an_attempt_record(traceparent=""))

    [span] = sink.spans
    assert 0 == len(span.events)
