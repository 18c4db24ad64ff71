from __future__ import annotations

import asyncio

import pytest

from extproc.server.drain import Drain
from extproc.server.health import HealthService


class World:
    """A drain of a service that nobody asks for health, with so many open streams."""

    def __init__(self, open_attempts: int) -> None:
        self.health = HealthService()
        self.health.serving = True
        self.open_attempts = open_attempts
        self.drain = Drain(self.health, lambda: self.open_attempts)


@pytest.mark.parametrize(("open_attempts", "seconds"), [(0, 3600.0), (5, 0.0)])
async def test_nothing_is_waited_for_without_need(open_attempts: int, seconds: float) -> None:
    """Without open streams, or without time for them, the end comes at once."""
    world = World(open_attempts)

    async with asyncio.timeout(5):
        assert await world.drain.run(seconds)
    assert not world.health.serving


async def test_open_streams_are_waited_for() -> None:
    """The end comes when the last of them has ended."""
    world = World(2)
    running = asyncio.create_task(world.drain.run(3600.0))
    for left in (1, 0):
        for _ in range(3):
            await asyncio.sleep(0.03)
        assert not running.done()
        world.open_attempts = left

    async with asyncio.timeout(5):
        assert await running


async def test_a_second_wish_to_end_is_obeyed_at_once() -> None:
    """Whoever waits in vain need not kill the process: what is to be saved is saved."""
    world = World(1)
    running = asyncio.create_task(world.drain.run(3600.0))
    await asyncio.sleep(0)
    running.cancel()

    async with asyncio.timeout(5):
        assert not await running
