"""Fixtures of verified plans on real Envoy."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
import yaml

from extproc.gateway.endpoints import write_endpoints
from extproc.gateway.render import envoy_tree
from extproc.settings.load import parse_settings
from loadgen.stack.ports import free_ports
from tests.e2e.verified.scripted import (
    FLEET,
    INSTANCES,
    MAX_BODY_BYTES,
    MODELS,
    System,
    envoy,
    instances,
    with_two_replicas,
)


@pytest_asyncio.fixture(scope="module", loop_scope="module", name="running")
async def running_fixture(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    """The system, started once for the module."""
    folder = tmp_path_factory.mktemp("verified")
    keys = ("listen", "admin", "replica1", "replica2", "service_admin", *INSTANCES)
    ports = dict(zip(keys, free_ports(len(keys)), strict=True))
    settings = parse_settings(FLEET.format(limit=MAX_BODY_BYTES, models=MODELS, **ports), Path("fleet.yaml"))
    config = folder / "envoy.yaml"
    config.write_text(yaml.safe_dump(with_two_replicas(envoy_tree(settings, folder / "endpoints"), ports)))
    write_endpoints(folder / "endpoints", settings.fleet())
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as client:
        system = System(ports, client)
        async with contextlib.AsyncExitStack() as stack:
            for replica in system.replicas:
                await replica.start()
                stack.push_async_callback(replica.stop)
            await stack.enter_async_context(instances(system))
            await stack.enter_async_context(envoy(system, config))
            yield system


@pytest_asyncio.fixture(loop_scope="module")
async def system(running: System) -> System:
    """The system, healed, with nothing recorded."""
    running.reset()
    return running
