"""One simulated vLLM server and its client."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest

from loadgen.vllm_server import running_instances
from tests.loadgen.vllm_client import SPEC, Client


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """A client session."""
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
async def client(session: aiohttp.ClientSession) -> AsyncIterator[Client]:
    """A client of an instance of its own."""
    async with running_instances([SPEC]) as (instance,):
        yield Client(instance, session)
