from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.questions import question, weighing_quality

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

EXPECTING = {"x-ttca-expect": "exact:42"}
TOKENS = 20


@pytest.fixture(scope="module")
def document(document: dict[str, Any]) -> dict[str, Any]:
    """The usual fleet, weighing quality, with one retry."""
    document["budgets"] = {"max_attempts": 2}
    return weighing_quality(document)


async def page(gateway: Any) -> dict[str, float]:
    """The samples of the metrics page that speak of verified plans."""
    lines = [line for line in (await gateway.metrics()).splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def below(nodes: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Every span of some trees."""
    for node in nodes:
        yield node
        yield from below(node["children"])


async def attempts_of(gateway: Any, trace_id: str, *, count: int) -> list[dict[str, Any]]:
    """The spans of a request's attempts, once its trace is joined and has so many."""
    found: list[dict[str, Any]] = []

    async def arrived() -> bool:
        async with gateway.session.get(f"{gateway.stack.service_admin_url}/traces?last=1000") as response:
            traces = (await response.json())["traces"]
        for trace in traces:
            spans = [span for span in below(trace["roots"]) if span["name"] == "ttca.attempt"]
            if trace["trace_id"] == trace_id and trace["is_joined"] and len(spans) == count:
                found[:] = spans
        return bool(found)

    await gateway.settle(arrived, within_seconds=20)
    return sorted(found, key=lambda span: float(span["offset_ms"]))


def traced(number: int) -> tuple[str, dict[str, str]]:
    """A trace id, and the headers of a request that belongs to it."""
    trace_id = f"{number:032x}"
    return trace_id, EXPECTING | {"traceparent": f"00-{trace_id}-00f067aa0ba902b7-01"}


async def test_each_attempt_has_a_span_with_its_verdict(gateway: Any) -> None:
    """Under the request's trace stand a rejected attempt with the reason and the budget's word, and an accepted one."""
    trace_id, headers = traced(0xA1)
    _, answered, _ = await gateway.ask(question(right="model-b", tokens=TOKENS), headers=headers)
    first, second = await attempts_of(gateway, trace_id, count=2)

    assert "accepted" == answered["x-ttca-verdict"]
    assert ("model-a", 1, "rejected", "expectation.exact") == (
        first["attributes"]["gen_ai.response.model"],
        first["attributes"]["ttca.attempt.number"],
        first["attributes"]["ttca.attempt.verdict"],
        first["attributes"]["ttca.attempt.verdict_reason"],
    )
    [event] = first["events"]
    assert "ttca.budget" == event["name"]
    assert {
        "ttca.budget.goes_on": True,
        "ttca.budget.reason": "worth_it",
        "ttca.budget.instance": second["attributes"]["ttca.instance"],
    } == event["attributes"]
    assert ("model-b", 2, "accepted") == (
        second["attributes"]["gen_ai.response.model"],
        second["attributes"]["ttca.attempt.number"],
        second["attributes"]["ttca.attempt.verdict"],
    )
    assert "events" not in second
    assert (
        0.0 < first["attributes"]["ttca.attempt.chance"] < second["attributes"]["ttca.attempt.chance"] < 1.0
    )


async def test_an_exhausted_plan_says_so(gateway: Any) -> None:
    """The last attempt's span tells that nothing was left."""
    trace_id, headers = traced(0xA2)
    await gateway.ask(question(tokens=TOKENS), headers=headers)
    _, last = await attempts_of(gateway, trace_id, count=2)

    assert {"ttca.budget.goes_on": False, "ttca.budget.reason": "last"} == last["events"][0]["attributes"]


async def test_the_metrics_add_up(gateway: Any) -> None:
    """TTCA, tries per answer, verified and retry share, wasted tokens and exhausted budgets are what was sent."""
    await gateway.settle_empty()
    before = await page(gateway)
    rescued, right, hopeless, plain = 3, 4, 2, 5
    for _ in range(rescued):
        await gateway.ask(question(right="model-b", tokens=TOKENS), headers=EXPECTING)
    for _ in range(right):
        await gateway.ask(question(right="model-a model-b", tokens=TOKENS), headers=EXPECTING)
    for _ in range(hopeless):
        await gateway.ask(question(tokens=TOKENS), headers=EXPECTING)
    for _ in range(plain):
        await gateway.ask(question(tokens=TOKENS, model="model-a"))
    sent = rescued + right + hopeless + plain

    def added(now: dict[str, float], pattern: str) -> float:
        return sum(
            value - before.get(name, 0.0) for name, value in now.items() if re.fullmatch(pattern, name)
        )

    async def all_reported() -> bool:
        return added(await page(gateway), r"ttca_requests_total\{.*\}") == sent

    await gateway.settle(all_reported)
    now = await page(gateway)

    seconds = added(now, r"ttca_time_to_correct_answer_seconds_sum\{.*\}")
    assert rescued + right == added(now, r"ttca_time_to_correct_answer_seconds_count\{.*\}")
    assert rescued == added(now, r'ttca_time_to_correct_answer_seconds_count\{model="model-b"\}')
    assert 0.0 < seconds < 60.0
    assert rescued + right == added(now, r'ttca_attempts_per_answer_count\{verdict="accepted"\}')
    assert 2 * rescued + right == added(now, r'ttca_attempts_per_answer_sum\{verdict="accepted"\}')
    assert hopeless == added(now, r'ttca_attempts_per_answer_count\{verdict="rejected"\}')
    assert rescued + hopeless == added(now, r'ttca_attempts_total\{.*verdict="rejected",then="retry"\}')
    assert rescued + hopeless == added(now, r"ttca_retries_total\{.*\}")
    assert (rescued + 2 * hopeless) * TOKENS == added(now, r"ttca_wasted_tokens_total\{.*\}")
    assert hopeless == added(now, r'ttca_budget_stops_total\{reason="last"\}')
    assert rescued + hopeless == added(now, r'ttca_requests_total\{model="model-b",.*\}'), "by who answered"
    assert right + plain == added(now, r'ttca_requests_total\{model="model-a",.*\}')


async def test_a_plain_request_leaves_verification_alone(gateway: Any) -> None:
    """Nothing expected: one model, a plain cluster, no plan in the request, and no attempt of a verified plan counted."""
    before = await page(gateway)
    _, headers, _ = await gateway.ask(question())
    [request] = await gateway.received()
    sent = dict(request["headers"])

    assert ("unverified", "1") == (headers["x-ttca-verdict"], headers["x-ttca-attempts"])
    assert sent["x-ttca-cluster"] in ("a-short", "b-short")
    assert "x-ttca-attempt" not in sent
    now = await page(gateway)
    names = [name for name in now if name.startswith("ttca_attempts_total")]
    assert [before[name] for name in names] == [now[name] for name in names]
