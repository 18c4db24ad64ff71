from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import grpc.aio
import pytest

from extproc.server.health import HealthService
from extproc.server.inquiry import NotServingError, ask_health


@pytest.fixture
async def world() -> AsyncIterator[tuple[HealthService, str]]:
    """A health service and its address."""
    health = HealthService()
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((health.rpc_handler(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield health, f"127.0.0.1:{port}"
    await server.stop(None)


async def test_a_service_that_serves_passes_at_once(world: tuple[HealthService, str]) -> None:
    """Nothing is raised."""
    health, address = world
    health.serving = True

    await asyncio.to_thread(ask_health, address)


async def test_a_service_that_starts_is_waited_for(world: tuple[HealthService, str]) -> None:
    """The question is asked again until the answer is yes."""
    health, address = world
    waiting = asyncio.create_task(asyncio.to_thread(ask_health, address, wait_seconds=60))
    with pytest.raises(NotServingError):
        await asyncio.to_thread(ask_health, address)
    assert not waiting.done()
    health.serving = True

    await waiting


async def test_a_service_that_does_not_serve_is_told_from_none(world: tuple[HealthService, str]) -> None:
    """It answered, so its address is right."""
    _, address = world
    with pytest.raises(NotServingError, match="answers, but is not serving"):
        await asyncio.to_thread(ask_health, address, wait_seconds=0.1)


async def test_an_unknown_name_says_which_there_are(world: tuple[HealthService, str]) -> None:
    """The mistake is in the question."""
    _, address = world
    with pytest.raises(NotServingError, match="knows no 'readyness', expected liveness, readiness or"):
        await asyncio.to_thread(ask_health, address, "readyness")


def test_nobody_there_says_what_to_look_at() -> None:
    """The address or the service may be missing."""
    with pytest.raises(NotServingError, match=r"Is the service running .*service\.listen"):
        ask_health("unix:/nonexistent/socket")
