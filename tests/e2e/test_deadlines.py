from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from tests.e2e.questions import question, weighing_quality

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

EXPECTING = {"x-ttca-expect": "exact:42"}

CLOCK_SECONDS = 0.005
"""Envoy's timers tick in milliseconds, by another clock than the client's."""

LEAST_SHARE = 1 / 3
"""Of its deadline that a request has at least: where tries are given up, the last one is, too, before the deadline."""


@pytest.fixture(scope="module")
def document(document: dict[str, Any]) -> dict[str, Any]:
    """The usual fleet, weighing quality, with one retry; model-b takes seconds for what model-a has at once."""
    document["budgets"] = {"max_attempts": 2}
    return weighing_quality(document, large=0.02)


async def timed(gateway: Any, body: dict[str, Any], *, seconds: float) -> tuple[int, Any, Any, float]:
    """Send a request with a deadline; status, headers and body of the answer, and how long it took."""
    started = time.monotonic()
    headers = EXPECTING | {"x-ttca-deadline-ms": str(round(seconds * 1000))}
    status, answered, answer = await gateway.ask(body, headers=headers)
    return status, answered, answer, time.monotonic() - started


async def stops(gateway: Any, reason: str) -> float:
    """How often a plan was stopped for a reason, once some was: the service counts a moment after the client has its answer."""
    prefix = "ttca_budget_stops_total{"
    async with asyncio.timeout(5):
        while not (
            found := [line for line in (await gateway.metrics()).splitlines() if line.startswith(prefix)]
        ):
            await asyncio.sleep(0.02)
    return sum(float(line.rpartition(" ")[2]) for line in found if f'reason="{reason}"' in line)


async def test_a_retry_that_would_not_fit_is_not_begun(gateway: Any) -> None:
    """The rejected answer is delivered at once, marked, instead of an error at the deadline."""
    status, headers, answer, elapsed = await timed(
        gateway, question(right="model-b", max_tokens=1000), seconds=3.0
    )

    assert (200, "41") == (status, answer["choices"][0]["message"]["content"])
    assert ("rejected", "model-a", "1") == (
        headers["x-ttca-verdict"], headers["x-ttca-model"], headers["x-ttca-attempts"],
    )  # fmt: skip
    assert headers["x-ttca-verdict-reason"].startswith("expectation")
    assert elapsed <= 3.0 * 1.1
    assert int(headers["x-ttca-elapsed-ms"]) <= elapsed * 1000 + 1
    assert 1 == await stops(gateway, "deadline")


async def test_a_retry_that_fits_is_made(gateway: Any) -> None:
    """The same question with more time."""
    status, headers, answer, _ = await timed(
        gateway, question(right="model-b", max_tokens=1000), seconds=30.0
    )

    assert (200, "42") == (status, answer["choices"][0]["message"]["content"])
    assert ("accepted", "2") == (headers["x-ttca-verdict"], headers["x-ttca-attempts"])


async def test_a_retry_that_hangs_ends_at_the_deadline(gateway: Any) -> None:
    """The clock of a verified plan runs through its retries."""
    for address in gateway.instances("b-short"):
        await gateway.faults(address, hang_rate=1.0)
    seconds = 9.0
    status, _, answer, elapsed = await timed(
        gateway, question(right="model-b", max_tokens=1000), seconds=seconds
    )

    assert 504 == status
    assert "error" in answer
    assert seconds * LEAST_SHARE <= elapsed <= seconds * 1.1
    received = await gateway.received()
    assert received[0]["model"] == "model-a"
    assert received[1]["address"] in gateway.instances("b-short")
    await gateway.settle_empty()


@pytest.mark.parametrize(
    ("seconds", "least"), [(1.5, 1.5 - CLOCK_SECONDS), (4.0, 4.0 * LEAST_SHARE)], ids=["waited", "given-up"]
)
async def test_nobody_answers_in_time(gateway: Any, seconds: float, least: float) -> None:
    """When every instance hangs the client hears it by its deadline, a tenth later at most, and not before each try had its time."""
    for address in gateway.stack.addresses:
        await gateway.faults(address, hang_rate=1.0)
    status, _, answer, elapsed = await timed(gateway, question(right="model-a"), seconds=seconds)

    assert 504 == status
    assert "error" in answer
    assert least <= elapsed <= seconds * 1.1
    await gateway.settle_empty()
