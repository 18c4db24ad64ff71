from __future__ import annotations

import asyncio
import os
import signal
from typing import Any

import pytest
import pytest_asyncio

from tests.e2e.questions import question, weighing_quality

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

TOKENS = 2000
SLOW = 4.0
"""Time scale at which an answer of these takes longer than the pause until Envoy knows that the service ends."""


@pytest.fixture(scope="module")
def document(document: dict[str, Any]) -> dict[str, Any]:
    """A fleet that verifies, with a service that drains."""
    document["service"]["drain_seconds"] = 60
    return weighing_quality(document)


@pytest_asyncio.fixture(loop_scope="module")
async def asking(gateway: Any) -> asyncio.Task[Any]:
    """A question that an instance is slowly answering, as both models should."""
    for address in gateway.stack.addresses:
        await gateway.faults(address, time_scale=SLOW)
    body = question(right="model-a model-b", tokens=TOKENS, max_tokens=TOKENS)
    task = asyncio.create_task(gateway.ask(body, headers={"x-ttca-expect": "exact:42"}))

    async def is_there() -> bool:
        return bool(await gateway.received())

    await gateway.settle(is_there)
    return task


async def is_draining(gateway: Any) -> bool:
    async with gateway.session.get(f"{gateway.stack.service_admin_url}/readyz") as response:
        return bool(response.status == 503)


async def test_answers_under_way_are_verified_before_the_service_ends(
    gateway: Any, asking: asyncio.Task[Any]
) -> None:
    """A rolling update costs no verdict; meanwhile the service says that it is not ready, and others are served."""
    stopping = asyncio.create_task(gateway.stack.service.stop())
    await gateway.settle(lambda: is_draining(gateway))
    other, _, _ = await gateway.ask(question(right="model-a"))
    status, headers, answer = await asking
    code = await stopping
    await gateway.stack.start_service()

    assert (200, 200, "42") == (other, status, answer["choices"][0]["message"]["content"])
    assert "accepted" == headers["x-ttca-verdict"]
    assert 0 == code


async def test_a_second_signal_ends_the_service_at_once(gateway: Any, asking: asyncio.Task[Any]) -> None:
    """The answer under way arrives all the same, unverified."""
    os.kill(gateway.stack.service.pid, signal.SIGTERM)
    await gateway.settle(lambda: is_draining(gateway))
    code = await gateway.stack.service.stop()
    was_under_way = not asking.done()
    status, headers, answer = await asking
    await gateway.stack.start_service()

    assert (0, True) == (code, was_under_way)
    assert (200, "42") == (status, answer["choices"][0]["message"]["content"])
    assert "unverified" == headers["x-ttca-verdict"]
