"""The whole system for end-to-end tests: real Envoy, the real service in a process of its own, simulated instances."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
import pytest_asyncio

from loadgen.stack.local import LocalStack
from loadgen.stack.ports import with_free_ports


def fleet_document() -> dict[str, Any]:
    """Two models and two pools: a-short has three instances, a-long two, b-short two."""

    def cluster(name: str, model: str, pool: str, limit: int, instances: int) -> dict[str, Any]:
        return {
            "name": name,
            "model": model,
            "pool": pool,
            "max_model_len": limit,
            "max_num_seqs": 16,
            "price_usd_per_mtok": {"input": 0.1, "output": 0.2},
            "instances": ["127.0.0.1:1"] * instances,
        }

    return with_free_ports(
        {
            "version": 1,
            "gateway": {"listen": "127.0.0.1:1", "admin": "127.0.0.1:1"},
            "service": {"listen": "127.0.0.1:1", "admin": "127.0.0.1:1", "drain_seconds": 0},
            "pools": [{"name": "short", "threshold_tokens": 4096}, {"name": "long"}],
            "clusters": [
                cluster("a-short", "model-a", "short", 4096, 3),
                cluster("a-long", "model-a", "long", 65536, 2),
                cluster("b-short", "model-b", "short", 4096, 2),
            ],
            "aliases": {"auto": ["model-a", "model-b"], "fast": ["model-b"]},
            "scrape": {"interval_seconds": 0.5, "timeout_seconds": 0.4},
        }
    )


class Gateway:
    """A running stack, as a client and as an operator sees it."""

    def __init__(self, stack: LocalStack, session: aiohttp.ClientSession) -> None:
        self.stack = stack
        self.session = session
        self.url = stack.gateway_url

    def instances(self, cluster: str) -> list[str]:
        """Addresses of a cluster's instances."""
        return [
            instance.address
            for candidate in self.stack.settings.clusters
            if candidate.name == cluster
            for instance in candidate.instances
        ]

    def post(self, body: Any, *, path: str = "/v1/chat/completions", **options: Any) -> Any:
        """Send a body (bytes as they are, else as JSON); use as a context manager."""
        content = body if isinstance(body, bytes) else orjson.dumps(body)
        data = content if len(content) < 1 << 20 else io.BytesIO(content)
        headers = {"content-type": "application/json"} | options.pop("headers", {})
        return self.session.post(self.url + path, data=data, headers=headers, **options)

    async def ask(self, body: Any, **options: Any) -> tuple[int, Any, Any]:
        """Send a body; the answer's status, headers and JSON."""
        async with self.post(body, **options) as response:
            content = await response.read()
            return response.status, response.headers, orjson.loads(content) if content else None

    async def faults(self, address: str, **changes: Any) -> None:
        """Switch an instance's faults."""
        async with self.session.post(f"http://{address}/admin/config", json=changes) as response:
            assert response.status == 200, await response.text()

    async def received(self, *addresses: str) -> list[dict[str, Any]]:
        """Requests that instances received, oldest first, each with its instance's address."""
        found = []
        for address in addresses or self.stack.addresses:
            async with self.session.get(f"http://{address}/admin/requests") as response:
                found += [entry | {"address": address} for entry in (await response.json())["requests"]]
        return sorted(
            (entry for entry in found if entry["path"] not in ("/metrics", "/health")),
            key=lambda entry: entry["received_at"],
        )

    async def received_total(self, address: str) -> int:
        """How many requests an instance received since it started."""
        async with self.session.get(f"http://{address}/admin/requests?last=0") as response:
            return int((await response.json())["total"])

    async def reset(self) -> None:
        """Heal every instance and forget what it received."""
        healthy = {
            "error_rate": 0.0,
            "hang_rate": 0.0,
            "disconnect_rate": 0.0,
            "break_rate": 0.0,
            "extra_latency_seconds": 0.0,
            "engine_dead": False,
        }
        for address in self.stack.addresses:
            await self.faults(address, **healthy)
            async with self.session.delete(f"http://{address}/admin/requests") as response:
                assert response.status == 200

    async def book(self) -> dict[str, Any]:
        """The service's load book."""
        async with self.session.get(f"{self.stack.service_admin_url}/fleet") as response:
            page: dict[str, Any] = await response.json()
            return page

    async def metrics(self) -> str:
        """The service's metrics page."""
        async with self.session.get(f"{self.stack.service_admin_url}/metrics") as response:
            return await response.text()

    async def counter(self, name: str) -> int:
        """Sum of Envoy's counters whose name ends with `name`."""
        async with self.session.get(
            f"{self.stack.envoy_admin_url}/stats?format=json&filter={name}"
        ) as response:
            stats = orjson.loads(await response.read())["stats"]
        return sum(s["value"] for s in stats if s.get("name", "").endswith(name) and "value" in s)

    async def settle(self, condition: Callable[[], Awaitable[bool]], *, within_seconds: float = 10.0) -> None:
        """Wait for a condition that follows on its own; fails when it does not."""
        async with asyncio.timeout(within_seconds):
            while not await condition():
                await asyncio.sleep(0.05)

    async def settle_empty(self, *, within_seconds: float = 10.0) -> None:
        """Wait until the load book is empty."""

        async def is_empty() -> bool:
            book = await self.book()
            return not book["requests_in_flight"]

        await self.settle(is_empty, within_seconds=within_seconds)


def chat(text: str = "Say hello.", *, model: str = "auto", tokens: int = 5, **fields: Any) -> dict[str, Any]:
    """A chat request whose simulated answer has `tokens` tokens."""
    return {
        "model": model,
        "messages": [{"role": "user", "content": text}],
        "max_tokens": 64,
        "ttca_sim": {"output_tokens": tokens},
        **fields,
    }


@pytest.fixture(name="chat", scope="session")
def chat_fixture() -> Callable[..., dict[str, Any]]:
    """Makes chat requests."""
    return chat


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """The fleet document of a module's stack."""
    return fleet_document()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(
    tmp_path_factory: pytest.TempPathFactory, document: dict[str, Any]
) -> AsyncIterator[Gateway]:
    """One stack for all tests of a module."""
    run_dir: Path = tmp_path_factory.mktemp("stack")
    async with (
        LocalStack(run_dir, document, time_scale=10) as stack,
        aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=60), connector=aiohttp.TCPConnector(limit=0)
        ) as session,
    ):
        yield Gateway(stack, session)


@pytest_asyncio.fixture(loop_scope="module")
async def gateway(running: Gateway) -> Gateway:
    """The module's stack, healed and with empty journals."""
    await running.reset()
    return running
