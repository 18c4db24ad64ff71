"""Turns what happened to requests into OpenTelemetry spans of the requests' own traces.

`ttca.decide` with a child per stage hangs under Envoy's span of the ext_proc call; `chat <model>` covers the whole
request. Sampling is Envoy's decision: a request whose trace flags say no costs one look at one digit.
"""

from __future__ import annotations

from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans, Span, Status
from opentelemetry.sdk.trace.id_generator import IdGenerator

from extproc.calibrate.outcome import Outcome
from extproc.decide.plan import Plan
from extproc.facts.request import Api, RequestFacts
from extproc.telemetry import attributes
from extproc.telemetry.otlp import SpanSink, add_span, set_attribute
from extproc.telemetry.records import AttemptRecord, DecideRecord
from extproc.telemetry.trace_context import TraceContext, sampled_parent
from extproc.verify.verdict import VerdictKind

DECIDE_SPAN = "ttca.decide"
ATTEMPT_SPAN = "ttca.attempt"
STAGE_SPAN_PREFIX = "ttca."
PROVIDER = "vllm"

OPERATIONS = {
    Api.CHAT_COMPLETIONS: "chat",
    Api.COMPLETIONS: "text_completion",
    Api.EMBEDDINGS: "embeddings",
    Api.RESPONSES: "chat",
    Api.MESSAGES: "chat",
    Api.OTHER: "pass_through",
}
"""`gen_ai.operation.name` by API; the last is ours, the conventions have no word for it."""

# A 2xx answer with one of these was cut short: https://www.envoyproxy.io/docs/envoy/v1.40.0/configuration/observability/access_log/usage
_CUT_SHORT_FLAGS = frozenset({"DC", "UC", "UR", "LR", "SI", "DT", "UMSDR", "DPE", "UPE"})


class SpanListener:
    """A `Listener` that offers spans to a sink, one serialised fragment per record."""

    def __init__(self, sink: SpanSink, ids: IdGenerator) -> None:
        self._sink = sink
        self._ids = ids

    def decided(self, record: DecideRecord) -> None:
        """Offer the decision's span and its stages'."""
        parent = sampled_parent(record.traceparent)
        if parent is None:
            return
        fragment = ScopeSpans()
        span_id = self._span_id()
        span = add_span(
            fragment,
            parent=parent,
            span_id=span_id,
            name=DECIDE_SPAN,
            kind=Span.SPAN_KIND_SERVER,
            start_unix_ns=record.start_unix_ns,
            end_unix_ns=record.end_unix_ns,
        )
        set_attribute(span, attributes.REQUEST_ID, record.request_id or None)
        if record.facts is not None:
            _describe_facts(span, record.facts)
        if record.plan is not None:
            _describe_plan(span, record.plan)
        if record.error is not None:
            _fail(span, type(record.error).__name__, record.error.message)
            set_attribute(span, attributes.ERROR_REASON, record.error.reason)
            set_attribute(span, attributes.HTTP_STATUS, record.error.http_status)
        self._add_stages(fragment, record, TraceContext(parent.trace_id, span_id))
        self._sink.offer(fragment.SerializeToString(), 1 + len(record.stages))

    def attempted(self, record: AttemptRecord) -> None:
        """Offer the span of a judged try, with the budget's decision as its event."""
        parent = sampled_parent(record.traceparent)
        if parent is None:
            return
        fragment = ScopeSpans()
        span = add_span(
            fragment,
            parent=parent,
            span_id=self._span_id(),
            name=ATTEMPT_SPAN,
            kind=Span.SPAN_KIND_SERVER,
            start_unix_ns=record.start_unix_ns,
            end_unix_ns=record.end_unix_ns,
        )
        _describe_attempt(span, record)
        self._sink.offer(fragment.SerializeToString(), 1)

    def finished(self, outcome: Outcome) -> None:
        """Offer the span of the whole request."""
        parent = sampled_parent(outcome.traceparent)
        if parent is None:
            return
        start_unix_ns = round(outcome.started_unix_seconds * 1e9)
        operation, model = _operation_and_model(outcome)
        fragment = ScopeSpans()
        span = add_span(
            fragment,
            parent=parent,
            span_id=self._span_id(),
            name=f"{operation} {model}" if model else operation,
            kind=Span.SPAN_KIND_CLIENT,
            start_unix_ns=start_unix_ns,
            end_unix_ns=start_unix_ns + round(outcome.e2e_seconds * 1e9),
        )
        set_attribute(span, attributes.OPERATION, operation)
        if outcome.served_address is not None:
            set_attribute(span, attributes.RESPONSE_MODEL, model or None)
        _describe_outcome(span, outcome)
        self._sink.offer(fragment.SerializeToString(), 1)

    def _add_stages(self, fragment: ScopeSpans, record: DecideRecord, parent: TraceContext) -> None:
        for stage in record.stages:
            add_span(
                fragment,
                parent=parent,
                span_id=self._span_id(),
                name=STAGE_SPAN_PREFIX + stage.name,
                kind=Span.SPAN_KIND_INTERNAL,
                start_unix_ns=stage.start_unix_ns,
                end_unix_ns=stage.end_unix_ns,
            )

    def _span_id(self) -> bytes:
        return self._ids.generate_span_id().to_bytes(8, "big")


def _operation_and_model(outcome: Outcome) -> tuple[str, str]:
    if outcome.decision is None:
        return "undecided", ""
    return OPERATIONS[outcome.decision.api], outcome.decision.model


def _describe_facts(span: Span, facts: RequestFacts) -> None:
    set_attribute(span, attributes.OPERATION, OPERATIONS[facts.api])
    set_attribute(span, attributes.REQUEST_MODEL, facts.model)
    set_attribute(span, attributes.REQUEST_STREAM, facts.stream)
    set_attribute(span, attributes.REQUEST_MAX_TOKENS, facts.max_output_tokens)
    if facts.choices != 1:  # "if not equal to 1", say the conventions
        set_attribute(span, attributes.REQUEST_CHOICES, facts.choices)
    set_attribute(span, attributes.BODY_BYTES, facts.body_bytes)


def _describe_plan(span: Span, plan: Plan) -> None:
    first = plan.attempts[0]
    set_attribute(span, attributes.DECISION_ID, plan.decision_id)
    set_attribute(span, attributes.POOL, plan.pool or None)
    set_attribute(span, attributes.CLUSTER, plan.route_cluster)
    set_attribute(span, attributes.INSTANCE, first.address)
    set_attribute(span, attributes.PLAN, [attempt.address for attempt in plan.attempts])
    set_attribute(span, attributes.WORK_SECONDS, first.work_seconds)
    set_attribute(span, attributes.MAX_RETRIES, plan.max_retries)
    set_attribute(span, attributes.HEDGE_SECONDS, plan.per_try_timeout_seconds if plan.hedges else None)
    set_attribute(span, attributes.CANDIDATES, plan.candidates)
    set_attribute(span, attributes.REASON, plan.reason)
    set_attribute(span, attributes.WISH, plan.wish or None)
    set_attribute(span, attributes.EXPECTED_USD, plan.expected_usd)
    if plan.budget is not None:
        set_attribute(span, attributes.BUDGET_PROMPT, plan.budget.prompt_tokens)
        set_attribute(span, attributes.BUDGET_PROMPT_UPPER, plan.budget.prompt_tokens_upper)
        set_attribute(span, attributes.BUDGET_OUTPUT, plan.budget.output_tokens)
        set_attribute(span, attributes.BUDGET_TOTAL, plan.budget.total_tokens)


def _describe_attempt(span: Span, record: AttemptRecord) -> None:
    """Write what is known of a try into its span; after a rejection, whether another attempt follows and why."""
    set_attribute(span, attributes.OPERATION, OPERATIONS[record.api])
    set_attribute(span, attributes.REQUEST_ID, record.request_id or None)
    set_attribute(span, attributes.DECISION_ID, record.decision_id or None)
    set_attribute(span, attributes.INSTANCE, record.address)
    set_attribute(span, attributes.RESPONSE_MODEL, record.model)
    set_attribute(span, attributes.ATTEMPT_NUMBER, record.number)
    set_attribute(span, attributes.ATTEMPT_CHANCE, record.chance)
    set_attribute(span, attributes.ATTEMPT_VERDICT, str(record.verdict.kind))
    set_attribute(span, attributes.ATTEMPT_VERDICT_REASON, record.verdict.reason or None)
    if record.verdict.checks:
        set_attribute(span, attributes.ATTEMPT_CHECKS, record.verdict.checks)
    set_attribute(span, attributes.USAGE_OUTPUT_TOKENS, record.completion_tokens)
    set_attribute(span, attributes.ELAPSED_SECONDS, record.elapsed_seconds)
    if record.verdict.kind is VerdictKind.REJECTED:
        event = span.events.add(name=attributes.BUDGET_EVENT, time_unix_nano=record.end_unix_ns)
        set_attribute(event, attributes.BUDGET_GOES_ON, record.goes_on)
        set_attribute(event, attributes.BUDGET_REASON, record.budget or ("last" if record.is_last else None))
        set_attribute(event, attributes.BUDGET_INSTANCE, record.next_address or None)


def _describe_outcome(span: Span, outcome: Outcome) -> None:
    set_attribute(span, attributes.PROVIDER, PROVIDER)
    set_attribute(span, attributes.REQUEST_ID, outcome.request_id or None)
    set_attribute(span, attributes.HTTP_STATUS, outcome.status or None)
    set_attribute(span, attributes.ATTEMPTS, outcome.attempts)
    set_attribute(span, attributes.TTFT_SECONDS, outcome.ttft_seconds)
    if outcome.flags:
        set_attribute(span, attributes.ENVOY_FLAGS, outcome.flags)
    if outcome.served_address is not None:
        host, _, port = outcome.served_address.rpartition(":")
        set_attribute(span, attributes.SERVED_INSTANCE, outcome.served_address)
        set_attribute(span, attributes.SERVER_ADDRESS, host)
        set_attribute(span, attributes.SERVER_PORT, int(port) if port.isdecimal() else None)
    if outcome.usage is not None:
        set_attribute(span, attributes.USAGE_INPUT_TOKENS, outcome.usage.prompt_tokens)
        set_attribute(span, attributes.USAGE_OUTPUT_TOKENS, outcome.usage.completion_tokens)
    if outcome.decision is not None:
        set_attribute(span, attributes.DECISION_ID, outcome.decision.decision_id)
        set_attribute(span, attributes.POOL, outcome.decision.pool or None)
        set_attribute(span, attributes.ESTIMATE_ERROR, prompt_estimate_error(outcome))
    error = error_type(outcome)
    if error is not None:
        _fail(span, error, "")


def prompt_estimate_error(outcome: Outcome) -> float | None:
    """Return (expected - actual) / actual prompt tokens; None when either figure is unknown or zero, or another model answered than planned.

    Negative when the estimate was too small; -1 is the least it can be.
    """
    if outcome.decision is None or outcome.usage is None:
        return None
    if outcome.decision.model != outcome.decision.planned_model:
        return None
    expected, actual = outcome.decision.prompt_tokens, outcome.usage.prompt_tokens
    if expected is None or not actual:
        return None
    return (expected - actual) / actual


def error_type(outcome: Outcome) -> str | None:
    """Say what became of a request that failed: its status, else Envoy's flag; None for one that did not."""
    if outcome.status >= 400:
        return str(outcome.status)
    if outcome.status == 0:
        return outcome.flags[0] if outcome.flags else "no_response"
    return next((flag for flag in outcome.flags if flag in _CUT_SHORT_FLAGS), None)


def _fail(span: Span, error_type: str, message: str) -> None:
    set_attribute(span, attributes.ERROR_TYPE, error_type)
    span.status.code = Status.STATUS_CODE_ERROR
    if message:
        span.status.message = message
