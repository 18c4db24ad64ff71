from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
import yaml

from loadgen.stack.local import LocalStack
from loadgen.stack.ports import free_ports
from loadgen.stack.process import ChildProcess
from tests.e2e.conftest import Gateway
from tests.e2e.questions import question, weighing_quality

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]


@pytest.fixture(scope="module")
def document(document: dict[str, Any]) -> dict[str, Any]:
    """The usual fleet, weighing quality."""
    return weighing_quality(document)


class ReplicatedStack(LocalStack):
    """The local stack with a second replica of the service, which Envoy knows under the same name."""

    def __init__(self, run_dir: Path, fleet: dict[str, Any], **options: Any) -> None:
        super().__init__(run_dir, fleet, **options)
        self._ports = free_ports(2)
        self.twin_admin_url = f"http://127.0.0.1:{self._ports[1]}"
        twin = copy.deepcopy(fleet)
        twin["service"] |= {
            "listen": f"127.0.0.1:{self._ports[0]}",
            "admin": f"127.0.0.1:{self._ports[1]}",
            "state_file": str(run_dir / "twin.json"),
        }
        fleet_file = run_dir / "twin.yaml"
        fleet_file.write_text(yaml.safe_dump(twin))
        command = self._python("extproc", "serve", str(fleet_file))
        self.twin = ChildProcess("the second service", command, run_dir / "twin.log")

    async def start_service(self) -> None:
        await super().start_service()
        await self.twin.start(lambda: self._answers(f"{self.twin_admin_url}/readyz"), within_seconds=30)

    async def _render(self) -> None:
        await super()._render()
        tree = yaml.safe_load(self._envoy_config.read_text())
        [cluster] = [c for c in tree["static_resources"]["clusters"] if c["name"] == "extproc"]
        [endpoints] = cluster["load_assignment"]["endpoints"]
        second = {"address": "127.0.0.1", "port_value": self._ports[0]}
        endpoints["lb_endpoints"].append({"endpoint": {"address": {"socket_address": second}}})
        self._envoy_config.write_text(yaml.safe_dump(tree, sort_keys=False))

    async def _stop(self) -> None:
        await self.twin.stop()
        await super()._stop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(
    tmp_path_factory: pytest.TempPathFactory, document: dict[str, Any]
) -> AsyncIterator[Gateway]:
    """One stack with two services for all tests of the module."""
    limits = aiohttp.ClientTimeout(total=60)
    async with (
        ReplicatedStack(tmp_path_factory.mktemp("stack"), document, time_scale=10) as stack,
        aiohttp.ClientSession(timeout=limits) as session,
    ):
        yield Gateway(stack, session)


async def counts(gateway: Gateway, name: str) -> list[float]:
    """A counter of both services, all labels together."""
    found = []
    for url in (gateway.stack.service_admin_url, gateway.stack.twin_admin_url):  # type: ignore[attr-defined]
        async with gateway.session.get(f"{url}/metrics") as response:
            lines = (await response.text()).splitlines()
        found.append(sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name + "{")))
    return found


async def test_streams_may_land_on_either(gateway: Gateway) -> None:
    """Both services decide and both judge, and every client gets the answer of the second model."""
    body = question(right="model-b")
    answers = []
    for _ in range(6):  # more at once would spend Envoy's retry budget
        answers += await asyncio.gather(
            *(gateway.ask(body, headers={"x-ttca-expect": "exact:42"}) for _ in range(4))
        )

    assert {(200, "accepted", "model-b", "2")} == {
        (status, headers["x-ttca-verdict"], headers["x-ttca-model"], headers["x-ttca-attempts"])
        for status, headers, _ in answers
    }
    assert min(await counts(gateway, "ttca_decisions_total")) > 0
    assert min(await counts(gateway, "ttca_attempts_total")) > 0
    assert 48 == sum(await counts(gateway, "ttca_attempts_total"))


async def test_a_session_survives_a_change_of_replica(gateway: Gateway) -> None:
    """What the other one saw is unknown, never an error: each of them excludes what itself has seen fail."""
    before = await counts(gateway, "ttca_decisions_total")
    models, known = [], []
    for _ in range(12):
        status, _, answer = await gateway.ask(question(), headers={"x-ttca-session": "wandering"})
        assert 200 == status
        models.append(answer["model"])
        status, _, told = await gateway.ask({"session": "wandering", "correct": False}, path="/v1/feedback")
        assert 202 == status
        known.append(told["known"])
    after = await counts(gateway, "ttca_decisions_total")

    assert {"model-a", "model-b"} == set(models)
    assert min(now - then for now, then in zip(after, before, strict=True)) > 0, "both decided"
    assert known, "either word is fine"


async def test_a_session_outlives_its_replica(gateway: Gateway) -> None:
    """The replica that knew everything dies: the client goes on asking, and the other one begins with what it sees."""
    asking = {"x-ttca-session": "orphaned"}
    for _ in range(3):
        await gateway.ask(question(), headers=asking)
    await gateway.stack.service.stop()
    try:
        for _ in range(6):
            status, _, _ = await gateway.ask(question(), headers=asking)
            assert 200 == status

        async def is_verified() -> bool:
            _, headers, _ = await gateway.ask(
                question(right="model-b"), headers={"x-ttca-expect": "exact:42"}
            )
            return bool(headers.get("x-ttca-verdict") == "accepted")

        await gateway.settle(is_verified)
    finally:
        await LocalStack.start_service(gateway.stack)
