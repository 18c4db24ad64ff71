from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans, Span
from opentelemetry.sdk.trace.id_generator import IdGenerator

from extproc.calibrate.outcome import DecisionRecord, Outcome, Usage
from extproc.decide.plan import Attempt, Plan, TokenBudget
from extproc.facts.request import Api, RequestFacts
from extproc.facts.text import TextProfile
from extproc.telemetry.otlp import BatchEnvelope
from extproc.telemetry.records import AttemptRecord, DecideRecord, Stage
from extproc.verify.verdict import Verdict, VerdictKind

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
STAGES = ("parse", "estimate", "eligible", "assign", "encode")


class RecordingSink:
    """Keeps what it is offered, parsed."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.counts: list[int] = []

    def offer(self, scope_spans: bytes, span_count: int) -> None:
        self.spans.extend(ScopeSpans.FromString(scope_spans).spans)
        self.counts.append(span_count)

    def attributes(self, index: int) -> dict[str, Any]:
        """Return a span's attributes as plain values."""
        found: dict[str, Any] = {}
        for attribute in self.spans[index].attributes:
            kind = attribute.value.WhichOneof("value")
            assert kind is not None
            value = getattr(attribute.value, kind)
            found[attribute.key] = (
                [item.string_value for item in value.values] if kind == "array_value" else value
            )
        return found


class CountingIds(IdGenerator):
    """Counts span ids up from 1."""

    def __init__(self) -> None:
        self._ids: Iterator[int] = iter(range(1, 1 << 30))

    def generate_span_id(self) -> int:
        return next(self._ids)

    def generate_trace_id(self) -> int:
        raise AssertionError("the service never starts a trace")


@pytest.fixture
def sink() -> RecordingSink:
    """A sink that keeps what it is offered."""
    return RecordingSink()


@pytest.fixture
def ids() -> CountingIds:
    """Span ids that count up from 1."""
    return CountingIds()


@pytest.fixture
def traceparent() -> str:
    """A sampled W3C context."""
    return TRACEPARENT


@pytest.fixture
def envelope() -> BatchEnvelope:
    """The envelope of a service named ttca-router."""
    return BatchEnvelope({"service.name": "ttca-router"}, scope_name="extproc", scope_version="1")


@pytest.fixture
def a_plan() -> Plan:
    """A plan of three attempts in pool short."""
    attempts = tuple(
        Attempt(address=f"10.0.0.{number}:8000", cluster="qwen-short", model="qwen", work_seconds=0.5)
        for number in (1, 2, 3)
    )
    return Plan(
        decision_id="d-1",
        attempts=attempts,
        route_cluster="qwen-short",
        max_retries=2,
        timeout_seconds=60.0,
        per_try_timeout_seconds=None,
        model="qwen",
        pool="short",
        budget=TokenBudget(
            prompt_tokens=300, prompt_tokens_upper=350, output_tokens=250, output_is_given=True
        ),
        candidates=4,
        reason="threshold:least_work",
    )


@pytest.fixture
def a_decide_record(a_plan: Plan) -> Callable[..., DecideRecord]:
    """Build a decision's record: sampled, routed, with all stages; keyword arguments change it."""
    record = DecideRecord(
        traceparent=TRACEPARENT,
        request_id="r-1",
        start_unix_ns=1_000_000,
        end_unix_ns=1_600_000,
        facts=RequestFacts(
            api=Api.CHAT_COMPLETIONS, model="auto", stream=True, max_output_tokens=250, body_bytes=1200
        ),
        plan=a_plan,
        error=None,
        stages=tuple(
            Stage(name, 1_000_000 + 100_000 * index, 1_100_000 + 100_000 * index)
            for index, name in enumerate(STAGES)
        ),
    )
    return lambda **changes: replace(record, **changes)


@pytest.fixture
def a_decision_record() -> Callable[..., DecisionRecord]:
    """Build what DECIDE left in Envoy's metadata; keyword arguments change it."""
    record = DecisionRecord(
        decision_id="d-1",
        api=Api.CHAT_COMPLETIONS,
        model="qwen",
        planned_model="qwen",
        pool="short",
        cluster="qwen-short",
        prompt_tokens=300,
        prompt_tokens_upper=350,
        output_tokens=250,
        output_is_given=True,
        text=TextProfile(),
        prompt_token_ids=0,
        messages=1,
        images=0,
        choices=1,
    )
    return lambda **changes: replace(record, **changes)


@pytest.fixture
def an_outcome(a_decision_record: Callable[..., DecisionRecord]) -> Callable[..., Outcome]:
    """Build a finished request that took two tries; keyword arguments change it."""
    outcome = Outcome(
        request_id="r-1",
        traceparent=TRACEPARENT,
        started_unix_seconds=2.0,
        decision=a_decision_record(),
        served_address="10.0.0.2:8000",
        attempts=2,
        status=200,
        flags=(),
        usage=Usage(prompt_tokens=400, completion_tokens=120),
        ttft_seconds=0.25,
        e2e_seconds=1.5,
        instance_seconds=1.25,
    )
    return lambda **changes: replace(outcome, **changes)


@pytest.fixture
def an_attempt_record() -> Callable[..., AttemptRecord]:
    """Build the record of a first try that was rejected and retried; keyword arguments change it."""
    record = AttemptRecord(
        traceparent=TRACEPARENT,
        request_id="r-1",
        decision_id="d-1",
        api=Api.CHAT_COMPLETIONS,
        address="10.0.0.1:8000",
        model="qwen",
        number=1,
        chance=0.6,
        ability=(0.5, 1.0),
        verdict=Verdict(VerdictKind.REJECTED, "contract.schema", "secret detail", ("transport",)),
        is_verified=True,
        is_last=False,
        goes_on=True,
        has_answer=True,
        budget="worth-it",
        has_session=False,
        completion_tokens=120,
        elapsed_seconds=0.75,
        start_unix_ns=1_000_000,
        end_unix_ns=3_000_000,
    )
    return lambda **changes: replace(record, **changes)
