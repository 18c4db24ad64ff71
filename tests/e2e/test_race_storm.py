from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import Any

import aiohttp
import pytest

from tests.e2e.questions import question, weighing_quality

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

REQUESTS = 1500
AT_ONCE = 60
DEADLINE_SECONDS = 4.0


@pytest.fixture(scope="module")
def document(document: dict[str, Any]) -> dict[str, Any]:
    """The usual fleet, weighing quality, with retries that no budget of Envoy's holds back."""
    document["budgets"] = {"retry_budget_percent": 100, "min_retry_concurrency": 1000}
    return weighing_quality(document, small=0.002, large=0.004)


async def one_request(gateway: Any, *, is_verified: bool, patience: float | None) -> str:
    """Send a request with a deadline and leave after `patience` seconds, whatever has come by then."""
    headers = {"x-ttca-deadline-ms": str(round(DEADLINE_SECONDS * 1000))}
    if is_verified:
        headers["x-ttca-expect"] = "exact:42"
    try:
        async with (
            asyncio.timeout(patience),
            gateway.post(question(right="model-b"), headers=headers) as response,
        ):
            await response.read()
            return str(response.status)
    except TimeoutError:
        return "left"
    except aiohttp.ClientError as error:
        return type(error).__name__


async def test_races_and_failures_in_any_mixture_leave_nothing(gateway: Any) -> None:
    """Instances hang, fail and break connections while tries are raced and given up: Envoy lives, the book ends empty."""
    for address in gateway.stack.addresses:
        await gateway.faults(address, hang_rate=0.15, error_rate=0.1, error_status=503, disconnect_rate=0.05)
    rng = random.Random(11)
    endings: Counter[str] = Counter()
    is_free = asyncio.Semaphore(AT_ONCE)

    async def run(is_verified: bool, patience: float | None) -> None:
        async with is_free:
            endings[await one_request(gateway, is_verified=is_verified, patience=patience)] += 1

    async with asyncio.TaskGroup() as tasks:
        for _ in range(REQUESTS):
            tasks.create_task(run(rng.random() < 0.5, rng.choice([None, None, None, 0.05, 1.5])))
    await gateway.settle_empty(within_seconds=20)
    book = await gateway.book()
    async with gateway.session.get(f"{gateway.stack.service_admin_url}/traces?last=1000") as response:
        traces = await response.text()

    assert REQUESTS == sum(endings.values())
    assert set(endings) <= {"200", "500", "503", "504", "left"}, endings
    assert endings["200"] > REQUESTS / 3, endings
    assert "ttca.hedge_seconds" in traces, "some plans were raced"
    assert {0} == {instance["sequences_in_flight"] for instance in book["instances"]}
    assert 0 == book["requests_expired"]
    assert await gateway.counter("cluster.fleet.upstream_rq_per_try_timeout") > 0, "some tries were given up"
