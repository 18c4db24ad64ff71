"""Every metric that the service exposes at `/metrics`: names, units, labels, and what feeds them.

Names follow OpenTelemetry's GenAI conventions where they have one, written as Prometheus writes them. Labels are
bounded: models, pools and instances come from the fleet file, and a cap stands behind that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial

from extproc.calibrate.outcome import Outcome, Usage
from extproc.telemetry.prometheus import Counter, Histogram, LabelCap, render_reading
from extproc.telemetry.readings import (
    InstanceReading,
    QualityModelReading,
    render_instances,
    render_quality_model,
)
from extproc.telemetry.records import AttemptRecord, DecideRecord
from extproc.telemetry.spans import OPERATIONS, PROVIDER, error_type, prompt_estimate_error
from extproc.verify.verdict import VerdictKind

_NONE = "none"
"""Label of requests that pass through, were refused, or were routed by Envoy alone."""

_GENAI = ("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_response_model")

_MOST_MODELS = 100
_MOST_POOLS = 50

# Bounds that the GenAI conventions advise: https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-metrics/
_TTFT_BOUNDS = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
_DURATION_BOUNDS = tuple(0.01 * 2**power for power in range(14))
_TOKEN_BOUNDS = tuple(float(4**power) for power in range(14))
_DECIDE_BOUNDS = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0)
_ATTEMPT_BOUNDS = (1.0, 2.0, 3.0, 4.0, 5.0, 7.0, 10.0)
_ERROR_RATIO_BOUNDS = (-0.5, -0.25, -0.1, -0.05, -0.02, 0.0, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0)


@dataclass(frozen=True, kw_only=True)
class _Instruments:
    """What is counted as it happens; the order of the fields is the order of the page."""

    requests: Counter = field(
        default_factory=partial(
            Counter,
            "ttca_requests_total",
            "Finished requests; status 0: the client left first.",
            ("model", "pool", "status"),
        )
    )
    decisions: Counter = field(
        default_factory=partial(
            Counter,
            "ttca_decisions_total",
            "Requests that were given a plan, by what decided the pool; cause spill counts spillovers.",
            ("pool", "cause"),
        )
    )
    errors: Counter = field(
        default_factory=partial(
            Counter, "ttca_errors_total", "Requests that were refused, by reason.", ("reason",)
        )
    )
    decide_seconds: Histogram = field(
        default_factory=partial(
            Histogram,
            "ttca_decide_duration_seconds",
            "From Envoy's first message to our last answer.",
            _DECIDE_BOUNDS,
            ("result",),
        )
    )
    ttft: Histogram = field(
        default_factory=partial(
            Histogram,
            "ttca_time_to_first_byte_seconds",
            "From the request's start at Envoy to the first byte of an answer's headers: a stream's may come before its first "
            "token, a plain answer's comes with its last.",
            _TTFT_BOUNDS,
            _GENAI,
        )
    )
    duration: Histogram = field(
        default_factory=partial(
            Histogram,
            "gen_ai_server_request_duration_seconds",
            "From the request's start at Envoy to the last byte sent to the client, retries included.",
            _DURATION_BOUNDS,
            (*_GENAI, "error_type"),
        )
    )
    tokens: Histogram = field(
        default_factory=partial(
            Histogram,
            "gen_ai_client_token_usage",
            "Tokens per request as the instance counted them.",
            _TOKEN_BOUNDS,
            (*_GENAI, "gen_ai_token_type"),
        )
    )
    estimate_error: Histogram = field(
        default_factory=partial(
            Histogram,
            "ttca_prompt_estimate_error_ratio",
            "(expected - actual) / actual prompt tokens; negative: the estimate was too small.",
            _ERROR_RATIO_BOUNDS,
            ("model",),
        )
    )
    underestimates: Counter = field(
        default_factory=partial(
            Counter,
            "ttca_prompt_underestimates_total",
            "Prompts that had more tokens than estimated; bound upper is the figure held against limits.",
            ("model", "bound"),
        )
    )
    retries: Counter = field(
        default_factory=partial(
            Counter, "ttca_retries_total", "Upstream tries beyond each request's first.", ("pool",)
        )
    )
    overflow_retries: Counter = field(
        default_factory=partial(
            Counter,
            "ttca_overflow_retries_total",
            "Context-length rejections of an instance for which another one was asked, by the pool that rejected.",
            ("pool",),
        )
    )
    attempts: Counter = field(
        default_factory=partial(
            Counter,
            "ttca_attempts_total",
            "Tries of verified plans, by verdict and what follows: retry, delivery, or none for a try without an answer.",
            ("model", "verdict", "then"),
        )
    )
    rejections: Counter = field(
        default_factory=partial(
            Counter, "ttca_rejections_total", "Answers that were rejected, by reason.", ("model", "reason")
        )
    )
    ttca: Histogram = field(
        default_factory=partial(
            Histogram,
            "ttca_time_to_correct_answer_seconds",
            "From the decision to an accepted answer, rejected attempts included; from the first decision of a session.",
            _DURATION_BOUNDS,
            ("model",),
        )
    )
    attempts_per_answer: Histogram = field(
        default_factory=partial(
            Histogram,
            "ttca_attempts_per_answer",
            "Upstream tries that a delivered answer of a verified plan took.",
            _ATTEMPT_BOUNDS,
            ("verdict",),
        )
    )
    wasted_tokens: Counter = field(
        default_factory=partial(
            Counter,
            "ttca_wasted_tokens_total",
            "Output tokens of rejected answers, as the instances counted them.",
            ("model",),
        )
    )
    budget_stops: Counter = field(
        default_factory=partial(
            Counter,
            "ttca_budget_stops_total",
            "Rejected answers that were delivered: no attempt was left (last), or the next was not worth it.",
            ("reason",),
        )
    )
    failed_tries: Counter = field(
        default_factory=partial(
            Counter,
            "ttca_failed_tries_total",
            "Tries that an instance failed: no answer, a 5xx, or a connection that broke.",
            ("address",),
        )
    )
    scrape_failures: Counter = field(
        default_factory=partial(
            Counter,
            "ttca_scrape_failures_total",
            "Reads of an instance's metrics that failed.",
            ("address",),
        )
    )
    fleet_reloads: Counter = field(
        default_factory=partial(
            Counter, "ttca_fleet_reloads_total", "Edits of the fleet file, ok or refused.", ("result",)
        )
    )
    quality_model_changes: Counter = field(
        default_factory=partial(
            Counter,
            "ttca_quality_model_changes_total",
            "Changes of the fitted quality model, ok (in use since) or refused.",
            ("result",),
        )
    )
    learning_failures: Counter = field(
        default_factory=partial(
            Counter,
            "ttca_learning_failures_total",
            "Verdicts that taught nothing for a mistake of ours; the requests went on.",
        )
    )
    bad_log_entries: Counter = field(
        default_factory=partial(
            Counter, "ttca_access_log_entries_bad_total", "Access-log entries that could not be understood."
        )
    )


class Metrics:
    """A `Listener` that counts; `render` makes the page.

    `read_instances`, `read_dropped_spans` and `read_quality_model` are asked when the page is made.
    """

    def __init__(
        self,
        read_instances: Callable[[], Iterable[InstanceReading]],
        read_dropped_spans: Callable[[], int],
        read_quality_model: Callable[[], QualityModelReading] = QualityModelReading,
    ) -> None:
        self._read_instances = read_instances
        self._read_dropped_spans = read_dropped_spans
        self._read_quality_model = read_quality_model
        self._model = LabelCap(_MOST_MODELS)
        self._pool = LabelCap(_MOST_POOLS)
        self._instruments = _Instruments()

    def decided(self, record: DecideRecord) -> None:
        """Count a decision, a refusal, or what the service answered itself."""
        seconds = (record.end_unix_ns - record.start_unix_ns) / 1e9
        self._instruments.decide_seconds.observe(
            seconds,
            "refused" if record.error is not None else "routed" if record.plan is not None else "answered",
        )
        if record.plan is not None:
            cause = record.plan.reason.partition(":")[0]
            self._instruments.decisions.add(self._pool(record.plan.pool or _NONE), cause)
        if record.error is not None:
            self._instruments.errors.add(record.error.reason)

    def attempted(self, record: AttemptRecord) -> None:
        """Count a try of a verified plan: verdict, what it led to, and what it cost."""
        if not record.is_verified:
            return
        instruments, verdict = self._instruments, str(record.verdict.kind)
        model = self._model(record.model or _NONE)
        is_delivered = record.has_answer and not record.goes_on
        instruments.attempts.add(
            model, verdict, "retry" if record.goes_on else "delivery" if is_delivered else "none"
        )
        if record.verdict.kind is VerdictKind.REJECTED:
            instruments.rejections.add(model, record.verdict.reason)
            if record.completion_tokens:
                instruments.wasted_tokens.add(model, amount=record.completion_tokens)
            if not record.goes_on:
                instruments.budget_stops.add("last" if record.is_last else record.budget.partition(":")[0])
        elif record.verdict.kind is VerdictKind.ACCEPTED and record.elapsed_seconds is not None:
            instruments.ttca.observe(record.elapsed_seconds, model)
        if is_delivered:
            instruments.attempts_per_answer.observe(record.number, verdict)

    def finished(self, outcome: Outcome) -> None:
        """Count a finished request, its times and its tokens."""
        decision = outcome.decision
        model = self._model(decision.model or _NONE if decision is not None else _NONE)
        pool = self._pool(decision.pool or _NONE if decision is not None else _NONE)
        self._instruments.requests.add(model, pool, str(outcome.status))
        if outcome.attempts > 1:
            self._instruments.retries.add(pool, amount=outcome.attempts - 1)
        if decision is not None:
            answered_by = model if outcome.served_address is not None else _NONE
            self._count_generation(outcome, (OPERATIONS[decision.api], PROVIDER, answered_by))
            self._count_estimate(outcome, model)

    def overflow_retried(self, pool: str) -> None:
        """Count a context-length rejection that another instance took over."""
        self._instruments.overflow_retries.add(self._pool(pool))

    def try_failed(self, address: str) -> None:
        """Count a try that an instance failed."""
        self._instruments.failed_tries.add(address)

    def scrape_failed(self, address: str) -> None:
        """Count a failed read of an instance's metrics."""
        self._instruments.scrape_failures.add(address)

    def fleet_reloaded(self, *, accepted: bool) -> None:
        """Count an edit of the fleet file."""
        self._instruments.fleet_reloads.add("ok" if accepted else "refused")

    def quality_model_changed(self, *, accepted: bool) -> None:
        """Count a change of the fitted quality model."""
        self._instruments.quality_model_changes.add("ok" if accepted else "refused")

    def learning_failed(self) -> None:
        """Count a verdict that could not be learned from."""
        self._instruments.learning_failures.add()

    def access_log_entry_bad(self) -> None:
        """Count an access-log entry that could not be understood."""
        self._instruments.bad_log_entries.add()

    def render(self) -> str:
        """Return the page in Prometheus' text format."""
        lines: list[str] = []
        for instrument in vars(self._instruments).values():
            lines.extend(instrument.render())
        lines.extend(render_instances(list(self._read_instances())))
        dropped: dict[tuple[str, ...], float] = {(): self._read_dropped_spans()}
        lines.extend(
            render_reading("ttca_spans_dropped_total", "counter", "Spans that were lost.", (), dropped)
        )
        lines.extend(render_quality_model(self._read_quality_model()))
        return "\n".join((*lines, ""))

    def _count_generation(self, outcome: Outcome, labels: tuple[str, str, str]) -> None:
        """Count times and tokens of a request that the service decided on."""
        self._instruments.duration.observe(outcome.e2e_seconds, *labels, error_type(outcome) or "")
        if outcome.ttft_seconds is not None and 200 <= outcome.status < 300:
            self._instruments.ttft.observe(outcome.ttft_seconds, *labels)
        if outcome.usage is not None:
            self._count_tokens(outcome.usage, labels)

    def _count_tokens(self, usage: Usage, labels: tuple[str, str, str]) -> None:
        if usage.prompt_tokens is not None:
            self._instruments.tokens.observe(usage.prompt_tokens, *labels, "input")
        if usage.completion_tokens is not None:
            self._instruments.tokens.observe(usage.completion_tokens, *labels, "output")

    def _count_estimate(self, outcome: Outcome, model: str) -> None:
        error = prompt_estimate_error(outcome)
        if error is None or outcome.decision is None or outcome.usage is None:
            return
        self._instruments.estimate_error.observe(error, model)
        if error < 0:
            self._instruments.underestimates.add(model, "expected")
        upper = outcome.decision.prompt_tokens_upper
        if upper is not None and upper < (outcome.usage.prompt_tokens or 0):
            self._instruments.underestimates.add(model, "upper")
