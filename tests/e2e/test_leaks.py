from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import aiohttp
import orjson
import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

Chat = Callable[..., dict[str, Any]]

REQUESTS = 10_000
AT_ONCE = 100
TIMEOUT_SECONDS = 0.6


@pytest.fixture(scope="module")
def document(document: dict[str, Any]) -> dict[str, Any]:
    """The usual fleet with a timeout that a test can wait for."""
    document["budgets"] = {"request_timeout_seconds": TIMEOUT_SECONDS}
    return document


async def one_request(gateway: Any, body: bytes, patience: float | None) -> str:
    """Send a request and leave after `patience` seconds, whatever has come by then."""
    try:
        async with asyncio.timeout(patience), gateway.post(body) as response:
            await response.read()
            return str(response.status)
    except TimeoutError:
        return "left"
    except aiohttp.ClientError as error:
        return type(error).__name__


async def test_ten_thousand_bad_endings_leave_nothing(gateway: Any, chat: Chat) -> None:
    """Cancelled, failed, reset, timed-out and refused requests, mixed: the book ends at zero, nothing expired."""
    for address in gateway.stack.addresses:
        await gateway.faults(address, error_rate=0.2, error_status=500, disconnect_rate=0.1, hang_rate=0.02)
    rng = random.Random(5)
    bodies = [
        orjson.dumps(chat(model="model-a", tokens=10)),
        orjson.dumps(chat(tokens=30, stream=True)),
        orjson.dumps(chat(tokens=60, n=3)),
        orjson.dumps(chat("The quick brown fox jumps. " * 500, model="model-a", tokens=5)),
        orjson.dumps(chat(model="nobody")),
        b"{",
    ]
    endings: Counter[str] = Counter()
    is_free = asyncio.Semaphore(AT_ONCE)

    async def run(body: bytes, patience: float | None) -> None:
        async with is_free:
            endings[await one_request(gateway, body, patience)] += 1

    async with asyncio.TaskGroup() as tasks:
        for _ in range(REQUESTS):
            patience = rng.choice([None, None, 0.001, 0.01, 0.05])
            tasks.create_task(run(rng.choice(bodies), patience))
    await gateway.settle_empty(within_seconds=20)
    book = await gateway.book()

    assert REQUESTS == sum(endings.values())
    assert {"200", "400", "404", "500", "504", "left"} <= set(endings), endings
    assert {0} == {instance["sequences_in_flight"] for instance in book["instances"]}
    assert 0 == book["requests_expired"]
