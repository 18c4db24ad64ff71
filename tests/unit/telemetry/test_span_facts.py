from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from extproc.calibrate.outcome import Outcome
from extproc.errors import NoInstanceError
from extproc.telemetry.otlp import AttributeValue
from extproc.telemetry.records import AttemptRecord, DecideRecord
from extproc.telemetry.span_facts import event_facts, facts, title
from extproc.telemetry.spans import SpanListener

# As Envoy 1.40's OpenTelemetry tracer writes them.
INGRESS = {
    "http.url": "http://127.0.0.1:10000/v1/chat/completions",
    "http.method": "POST",
    "component": "proxy",
    "upstream_cluster": "qwen-short",
    "http.status_code": "200",
    "response_flags": "-",
    "request_size": "1200",
    "response_size": "900",
}
RETRY = {
    "component": "proxy",
    "retry.count": "1",
    "upstream_address": "10.0.0.2:8000",
    "http.status_code": "503",
    "response_flags": "UF",
    "upstream_cluster": "qwen-short",
}


@pytest.mark.parametrize(
    ("name", "attributes", "expected"),
    [
        ("ingress", INGRESS, "POST /v1/chat/completions"),
        ("router qwen-short egress", RETRY, "try 2 on 10.0.0.2:8000"),
        ("router qwen-short egress", {}, "try 1 on ?"),
        ("async envoy.service.ext_proc.v3.ExternalProcessor.Process egress", {}, "ext_proc call"),
        ("ttca.decide", {}, "ttca.decide"),
        ("ingress", {}, "ingress"),
    ],
)
def test_titles_say_what_a_span_is(name: str, attributes: dict[str, Any], expected: str) -> None:
    """Envoy's spans are called by what they do; others keep their names."""
    assert expected == title(name, attributes)


def test_envoys_spans_tell_status_flags_and_sizes() -> None:
    """The facts of Envoy's spans are status, flags, cluster and sizes."""
    assert ["status 200", "cluster qwen-short", "1200 B in, 900 B out"] == facts(INGRESS)
    assert ["status 503", "flags UF", "cluster qwen-short"] == facts(RETRY)


def test_an_attempt_tells_its_verdict_and_what_follows(
    sink: Any, ids: Any, an_attempt_record: Callable[..., AttemptRecord]
) -> None:
    """The facts of a try are the word on its answer, who gave it, and the chance it was given."""
    SpanListener(sink, ids).attempted(an_attempt_record())

    assert ["attempt 1 rejected (contract.schema)", "qwen on 10.0.0.1:8000", "chance 60%"] == facts(
        sink.attributes(0)
    )
    goes_on: dict[str, AttributeValue] = {"ttca.budget.goes_on": True, "ttca.budget.reason": "worth_it"}
    assert ["another attempt follows: worth_it"] == event_facts("ttca.budget", goes_on)
    assert [] == event_facts("else", goes_on)


def test_a_decision_tells_budget_and_plan(
    sink: Any, ids: Any, a_decide_record: Callable[..., DecideRecord]
) -> None:
    """The facts of a decision are the request, the token budget, the pool and the hosts in order."""
    SpanListener(sink, ids).decided(a_decide_record())

    assert [
        "chat asks for auto",
        "budget 600 = 350 prompt (expected 300) + 250 output",
        "pool short",
        "threshold:least_work",
        "4 candidates",
        "on 10.0.0.1:8000, then 10.0.0.2:8000, 10.0.0.3:8000",
        "retries ≤ 2",
    ] == facts(sink.attributes(0))


def test_a_refusal_tells_its_reason(
    sink: Any, ids: Any, a_decide_record: Callable[..., DecideRecord]
) -> None:
    """The facts of a refusal begin with its reason and status."""
    error = NoInstanceError("none", reason="all_draining")
    SpanListener(sink, ids).decided(a_decide_record(plan=None, error=error))

    assert "refused: all_draining (503)" == facts(sink.attributes(0))[0]


def test_a_request_tells_who_served_and_what_it_took(
    sink: Any, ids: Any, an_outcome: Callable[..., Outcome]
) -> None:
    """The facts of a request are status, instance, tries, first byte, tokens and the estimate's error."""
    SpanListener(sink, ids).finished(an_outcome())

    assert [
        "status 200",
        "served by 10.0.0.2:8000",
        "2 tries",
        "first byte 250.0 ms",
        "tokens 400 in, 120 out",
        "prompt estimate -25.0%",
    ] == facts(sink.attributes(0))


def test_strange_spans_have_no_facts() -> None:
    """Spans of others are left alone, whatever their attributes hold."""
    assert [] == facts({"a": 1, "retry.count": "many"})
    assert "try 1 on ?" == title("router x egress", {"retry.count": "many"})
