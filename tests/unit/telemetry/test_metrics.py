from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from extproc.calibrate.outcome import DecisionRecord, Outcome, Usage
from extproc.decide.plan import Plan
from extproc.errors import ModelNotFoundError
from extproc.telemetry.metrics import Metrics
from extproc.telemetry.readings import InstanceReading, QualityModelReading
from extproc.telemetry.records import AttemptRecord, DecideRecord
from extproc.verify.verdict import Verdict, VerdictKind


@pytest.fixture
def metrics() -> Metrics:
    """Metrics over two instances, of which one was never scraped."""
    readings = [
        InstanceReading(
            address="a:1",
            cluster="c",
            sequences_in_flight=3,
            scrape_age_seconds=0.5,
            is_usable=True,
            is_suspect=False,
        ),
        InstanceReading(
            address="a:2",
            cluster="c",
            sequences_in_flight=0,
            scrape_age_seconds=None,
            is_usable=False,
            is_suspect=True,
        ),
    ]
    return Metrics(lambda: readings, lambda: 7)


def samples(metrics: Metrics) -> dict[str, float]:
    """Return the page's samples by name and labels."""
    lines = [line for line in metrics.render().splitlines() if not line.startswith("#")]
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}


def test_decisions_and_refusals_are_counted(
    metrics: Metrics, a_decide_record: Callable[..., DecideRecord], a_plan: Plan
) -> None:
    """Decisions count by pool and cause, refusals by reason, both in the decision's time."""
    metrics.decided(a_decide_record())
    metrics.decided(a_decide_record(plan=replace(a_plan, reason="spill:least_work", pool="long")))
    metrics.decided(a_decide_record(plan=None, error=ModelNotFoundError("no", reason="unknown_model")))

    assert {
        'ttca_decisions_total{pool="short",cause="threshold"}': 1,
        'ttca_decisions_total{pool="long",cause="spill"}': 1,
        'ttca_errors_total{reason="unknown_model"}': 1,
        'ttca_decide_duration_seconds_count{result="routed"}': 2,
        'ttca_decide_duration_seconds_count{result="refused"}': 1,
        'ttca_decide_duration_seconds_bucket{result="routed",le="0.0005"}': 0,
        'ttca_decide_duration_seconds_bucket{result="routed",le="0.001"}': 2,
    }.items() <= samples(metrics).items()


def test_requests_times_and_tokens_are_counted(metrics: Metrics, an_outcome: Callable[..., Outcome]) -> None:
    """A finished request counts with its status, retries, times and tokens."""
    metrics.finished(an_outcome())

    genai = 'gen_ai_operation_name="chat",gen_ai_provider_name="vllm",gen_ai_response_model="qwen"'
    assert {
        'ttca_requests_total{model="qwen",pool="short",status="200"}': 1,
        'ttca_retries_total{pool="short"}': 1,
        f"ttca_time_to_first_byte_seconds_sum{{{genai}}}": 0.25,
        f'gen_ai_server_request_duration_seconds_sum{{{genai},error_type=""}}': 1.5,
        f'gen_ai_client_token_usage_sum{{{genai},gen_ai_token_type="input"}}': 400,
        f'gen_ai_client_token_usage_sum{{{genai},gen_ai_token_type="output"}}': 120,
    }.items() <= samples(metrics).items()


@pytest.mark.parametrize(
    ("actual_tokens", "expected_bounds"),
    [(250, set()), (300, set()), (320, {"expected"}), (360, {"expected", "upper"})],
)
def test_underestimates_are_counted_by_bound(
    metrics: Metrics, an_outcome: Callable[..., Outcome], actual_tokens: int, expected_bounds: set[str]
) -> None:
    """A prompt larger than expected counts, and counts again when it exceeds the conservative figure."""
    metrics.finished(an_outcome(usage=Usage(prompt_tokens=actual_tokens, completion_tokens=1)))

    page = samples(metrics)
    found = {
        bound
        for bound in ("expected", "upper")
        if f'ttca_prompt_underestimates_total{{model="qwen",bound="{bound}"}}' in page
    }
    assert expected_bounds == found
    assert 1 == page['ttca_prompt_estimate_error_ratio_count{model="qwen"}']


def test_the_estimates_error_keeps_its_sign(metrics: Metrics, an_outcome: Callable[..., Outcome]) -> None:
    """The histogram of the estimate's error tells too small from too large."""
    metrics.finished(an_outcome(usage=Usage(prompt_tokens=400, completion_tokens=None)))

    assert -0.25 == samples(metrics)['ttca_prompt_estimate_error_ratio_sum{model="qwen"}']


def test_what_the_service_answers_itself_is_neither_decided_nor_refused(
    metrics: Metrics, a_decide_record: Callable[..., DecideRecord]
) -> None:
    """A list of models, or feedback: it has a time, and no reason of an error."""
    metrics.decided(a_decide_record(plan=None, error=None))

    page = samples(metrics)
    assert 1 == page['ttca_decide_duration_seconds_count{result="answered"}']
    assert not any(name.startswith(("ttca_errors_total", "ttca_decisions_total")) for name in page)


def test_a_request_that_nobody_answered_is_no_models(
    metrics: Metrics, an_outcome: Callable[..., Outcome]
) -> None:
    """Its time stands apart, with what became of it; the planned model has answered nothing."""
    metrics.finished(an_outcome(status=503, served_address=None, usage=None))

    name = "gen_ai_server_request_duration_seconds_count"
    page = samples(metrics)
    assert ['gen_ai_response_model="none",error_type="503"'] == [
        found.partition('vllm",')[2].rstrip("}") for found in page if found.startswith(name)
    ]


def test_an_estimate_for_another_model_is_held_against_none(
    metrics: Metrics, an_outcome: Callable[..., Outcome], a_decision_record: Callable[..., DecisionRecord]
) -> None:
    """Each model counts tokens in its own way."""
    metrics.finished(an_outcome(decision=a_decision_record(model="llama")))

    assert not any("estimate_error" in name and "llama" in name for name in samples(metrics))


def test_failed_and_undecided_requests_have_no_first_byte(
    metrics: Metrics, an_outcome: Callable[..., Outcome]
) -> None:
    """Errors do not improve the time to first byte, and requests without a decision are labelled none and no generation."""
    metrics.finished(an_outcome(status=503))
    metrics.finished(an_outcome(decision=None, usage=None))

    page = samples(metrics)
    assert 1 == page['ttca_requests_total{model="none",pool="none",status="200"}']
    assert not any("time_to_first_byte_seconds_count" in name for name in page)
    assert 1 == sum(value for name, value in page.items() if "request_duration_seconds_count" in name)


def test_models_are_capped(
    metrics: Metrics, an_outcome: Callable[..., Outcome], a_decision_record: Callable[..., DecisionRecord]
) -> None:
    """However many model names turn up, the page stays bounded and nothing is lost."""
    for number in range(500):
        metrics.finished(an_outcome(decision=a_decision_record(model=f"m{number}")))

    page = samples(metrics)
    counted = {name: value for name, value in page.items() if name.startswith("ttca_requests_total")}
    assert 101 == len(counted)
    assert 500 == sum(counted.values())
    assert 400 == page['ttca_requests_total{model="other",pool="short",status="200"}']


def test_what_others_report_is_counted(metrics: Metrics) -> None:
    """Overflow retries, scrapes, fleet edits and bad log entries count when they are told."""
    metrics.overflow_retried("short")
    metrics.scrape_failed("a:1")
    metrics.fleet_reloaded(accepted=True)
    metrics.fleet_reloaded(accepted=False)
    metrics.access_log_entry_bad()

    assert {
        'ttca_overflow_retries_total{pool="short"}': 1,
        'ttca_scrape_failures_total{address="a:1"}': 1,
        'ttca_fleet_reloads_total{result="ok"}': 1,
        'ttca_fleet_reloads_total{result="refused"}': 1,
        "ttca_access_log_entries_bad_total": 1,
    }.items() <= samples(metrics).items()


def test_readings_are_taken_at_the_scrape(metrics: Metrics) -> None:
    """In-flight requests, scrape ages and lost spans are what they are when the page is made."""
    page = samples(metrics)

    assert {
        'ttca_in_flight_sequences{address="a:1",cluster="c"}': 3,
        'ttca_in_flight_sequences{address="a:2",cluster="c"}': 0,
        'ttca_scrape_age_seconds{address="a:1",cluster="c"}': 0.5,
        'ttca_instance_usable{address="a:1",cluster="c"}': 1,
        'ttca_instance_usable{address="a:2",cluster="c"}': 0,
        'ttca_instance_suspect{address="a:1",cluster="c"}': 0,
        'ttca_instance_suspect{address="a:2",cluster="c"}': 1,
        "ttca_spans_dropped_total": 7,
    }.items() <= page.items()
    assert 'ttca_scrape_age_seconds{address="a:2",cluster="c"}' not in page


def test_every_metric_is_described(metrics: Metrics, an_outcome: Any) -> None:
    """Each family has one help line and one type line, and the page ends with a line break."""
    page = metrics.render()
    helps = [line.split()[2] for line in page.splitlines() if line.startswith("# HELP")]
    types = [line.split()[2] for line in page.splitlines() if line.startswith("# TYPE")]

    assert helps == types
    assert len(helps) == len(set(helps))
    assert page.endswith("\n")


def test_verdicts_are_counted(metrics: Metrics, an_attempt_record: Callable[..., AttemptRecord]) -> None:
    """A rejected try counts what it wasted, the accepted one ends the clock."""
    metrics.attempted(an_attempt_record())
    metrics.attempted(
        an_attempt_record(
            number=2, model="llama", verdict=Verdict(VerdictKind.ACCEPTED), goes_on=False, elapsed_seconds=1.5
        )
    )

    found = samples(metrics)
    assert {
        'ttca_attempts_total{model="qwen",verdict="rejected",then="retry"}': 1,
        'ttca_attempts_total{model="llama",verdict="accepted",then="delivery"}': 1,
        'ttca_rejections_total{model="qwen",reason="contract.schema"}': 1,
        'ttca_wasted_tokens_total{model="qwen"}': 120,
        'ttca_time_to_correct_answer_seconds_sum{model="llama"}': 1.5,
        'ttca_attempts_per_answer_bucket{verdict="accepted",le="1"}': 0,
        'ttca_attempts_per_answer_bucket{verdict="accepted",le="2"}': 1,
    }.items() <= found.items()
    assert not any(name.startswith("ttca_budget_stops_total") for name in found)


def test_a_try_without_an_answer_is_no_delivery(
    metrics: Metrics, an_attempt_record: Callable[..., AttemptRecord]
) -> None:
    """One that was given up or reset counts as a try, not among the tries that an answer took."""
    unverified = Verdict(VerdictKind.UNVERIFIED, "skipped.no_answer")
    metrics.attempted(an_attempt_record(verdict=unverified, goes_on=False, has_answer=False))

    found = samples(metrics)
    assert 1 == found['ttca_attempts_total{model="qwen",verdict="unverified",then="none"}']
    assert not any(name.startswith("ttca_attempts_per_answer") for name in found)


def test_stops_are_counted_by_their_cause(
    metrics: Metrics, an_attempt_record: Callable[..., AttemptRecord]
) -> None:
    """A rejected answer is delivered when no attempt is left, or when the next is not worth it."""
    metrics.attempted(an_attempt_record(goes_on=False, is_last=True, budget=""))
    metrics.attempted(an_attempt_record(goes_on=False, budget="not-worth-it: 0.3 s against 2 s"))

    assert {
        'ttca_budget_stops_total{reason="last"}': 1,
        'ttca_budget_stops_total{reason="not-worth-it"}': 1,
    }.items() <= samples(metrics).items()


def test_unknown_figures_are_not_zero(
    metrics: Metrics, an_attempt_record: Callable[..., AttemptRecord]
) -> None:
    """Without a start there is no TTCA, without usage no waste, without verification no count."""
    accepted = Verdict(VerdictKind.ACCEPTED)
    metrics.attempted(an_attempt_record(verdict=accepted, goes_on=False, elapsed_seconds=None))
    metrics.attempted(an_attempt_record(completion_tokens=None))
    metrics.attempted(an_attempt_record(model="other", is_verified=False))

    found = samples(metrics)
    assert not any(name.startswith(("ttca_time_to_correct", "ttca_wasted")) for name in found)
    assert not any('"other"' in name for name in found)


def test_the_quality_model_in_use_is_named(metrics: Metrics) -> None:
    """Without a fit the page says so; with one it has its id, what it knows, and how often it changed."""
    assert 0 == samples(metrics)['ttca_quality_model_info{fit="none",words="false"}']

    reading = QualityModelReading(fit_id="3fa8", models=4, reads_words=True)
    fitted = Metrics(list, lambda: 0, lambda: reading)
    fitted.quality_model_changed(accepted=True)
    fitted.quality_model_changed(accepted=False)
    fitted.learning_failed()
    assert {
        'ttca_quality_model_info{fit="3fa8",words="true"}': 4,
        'ttca_quality_model_changes_total{result="ok"}': 1,
        'ttca_quality_model_changes_total{result="refused"}': 1,
        "ttca_learning_failures_total": 1,
    }.items() <= samples(fitted).items()
