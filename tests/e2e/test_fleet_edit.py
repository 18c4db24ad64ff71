from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from loadgen.vllm.spec import InstanceSpec
from loadgen.vllm_server import start_instances

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

Chat = Callable[..., dict[str, Any]]

FOLLOWS_WITHIN_SECONDS = 2.0

MISTAKES = {
    "broken": ("max_num_seqs: 16", "max_num_seqs: -16"),
    "static": ("name: b-short", "name: b-new"),
    "tag": ("max_num_seqs: 16", "max_num_seqs: !!bool x"),
    "huge": ("max_model_len: 4096", "max_model_len: 10000000000000000000"),
}
"""What each bad edit replaces, and by what."""


@asynccontextmanager
async def load(gateway: Any, chat: Chat) -> AsyncIterator[list[tuple[str, str]]]:
    """Keep requests to model-a coming, plain and streamed; gives what failed, as it happens."""
    failures: list[tuple[str, str]] = []
    is_over = asyncio.Event()

    async def keep_asking(stream: bool) -> None:
        while not is_over.is_set():
            body = chat(model="model-a", tokens=150, max_tokens=200, stream=stream)
            async with gateway.post(body) as response:
                content = await response.read()
                if response.status != 200 or (stream and not content.endswith(b"data: [DONE]\n\n")):
                    failures.append((str(response.status), content[-200:].decode(errors="replace")))

    tasks = [asyncio.create_task(keep_asking(stream)) for stream in (True, False) * 4]
    try:
        yield failures
    finally:
        is_over.set()
        await asyncio.gather(*tasks)


def short_instances(document: dict[str, Any]) -> list[Any]:
    """The list of instances of a-short in a fleet document."""
    instances: list[Any] = document["clusters"][0]["instances"]
    return instances


def replace_file(path: Path, text: str) -> None:
    """Write as an editor should: the file is never seen half-written."""
    fresh = path.with_suffix(".edited")
    fresh.write_text(text)
    fresh.replace(path)


async def test_instances_come_and_go_under_load(gateway: Any, chat: Chat) -> None:
    """Added, drained and removed within two seconds each, with not one failed request."""
    first = gateway.instances("a-short")[0]
    (extra,) = await start_instances(
        [
            InstanceSpec(
                model="model-a", aliases=("auto",), max_model_len=4096, max_num_seqs=16, time_scale=10.0
            )
        ]
    )
    address = extra.address

    async def receives(instance: str, seconds: float = FOLLOWS_WITHIN_SECONDS) -> int:
        """Requests that an instance gets in a while that begins after the time to follow."""
        before: int = await gateway.received_total(instance)
        await asyncio.sleep(seconds)
        return int(await gateway.received_total(instance)) - before

    try:
        async with load(gateway, chat) as failures:
            gateway.stack.write_fleet(lambda document: short_instances(document).append(address))
            await asyncio.sleep(FOLLOWS_WITHIN_SECONDS)
            assert await receives(address, 1.0) > 0

            def drain(document: dict[str, Any]) -> None:
                short_instances(document)[0] = {"address": first, "draining": True}

            gateway.stack.write_fleet(drain)
            await asyncio.sleep(FOLLOWS_WITHIN_SECONDS)
            assert 0 == await receives(first, 1.0)

            gateway.stack.write_fleet(lambda document: short_instances(document).pop(0))
            await asyncio.sleep(FOLLOWS_WITHIN_SECONDS)
            assert 0 == await receives(first, 1.0)
            assert first not in {i["address"] for i in (await gateway.book())["instances"]}

            gateway.stack.write_fleet(lambda document: short_instances(document).insert(0, first))
            gateway.stack.write_fleet(lambda document: short_instances(document).remove(address))
            await asyncio.sleep(FOLLOWS_WITHIN_SECONDS)
            assert await receives(first, 1.0) > 0
            assert 0 == await receives(address, 1.0)
        assert [] == failures
        await gateway.settle_empty()
    finally:
        await extra.stop()


async def test_requests_in_flight_survive_a_removal(gateway: Any, chat: Chat) -> None:
    """A stream that runs on an instance goes to its end although the instance left the fleet."""
    first = gateway.instances("b-short")[0]
    for address in gateway.instances("b-short"):
        await gateway.faults(address, time_scale=1.0)
    body = chat(model="model-b", tokens=400, max_tokens=500, stream=True)
    async with gateway.post(body) as one, gateway.post(body) as two:
        serving = {response.headers["x-inference-pod"] for response in (one, two)}
        gateway.stack.write_fleet(lambda document: document["clusters"][2]["instances"].remove(first))
        contents = await asyncio.gather(one.read(), two.read())
    gateway.stack.write_fleet(lambda document: document["clusters"][2]["instances"].insert(0, first))
    for address in gateway.instances("b-short"):
        await gateway.faults(address, time_scale=10.0)

    assert set(gateway.instances("b-short")) == serving
    assert [True, True] == [content.endswith(b"data: [DONE]\n\n") for content in contents]
    await gateway.settle_empty()


@pytest.mark.parametrize("mistake", list(MISTAKES))
async def test_a_bad_edit_is_refused_and_counted(gateway: Any, chat: Chat, mistake: str) -> None:
    """An edit with a mistake, or one that Envoy cannot follow, leaves everything as it was and is counted."""

    async def refusals() -> int:
        found = re.search(r'ttca_fleet_reloads_total\{result="refused"\} (\d+)', await gateway.metrics())
        return int(found.group(1)) if found else 0

    await asyncio.sleep(FOLLOWS_WITHIN_SECONDS)  # an earlier test's last edit
    before, book = await refusals(), await gateway.book()
    original = gateway.stack.fleet_file.read_text()
    async with load(gateway, chat) as failures:
        started = time.monotonic()
        replace_file(gateway.stack.fleet_file, original.replace(*MISTAKES[mistake]))

        async def refused() -> bool:
            return await refusals() == before + 1

        await gateway.settle(refused, within_seconds=FOLLOWS_WITHIN_SECONDS)
        assert time.monotonic() - started < FOLLOWS_WITHIN_SECONDS
        replace_file(gateway.stack.fleet_file, original)
        await asyncio.sleep(1)

    assert [] == failures
    assert await refusals() == before + 1
    addresses = [[i["address"] for i in page["instances"]] for page in (book, await gateway.book())]
    assert addresses[0] == addresses[1]


async def test_a_live_change_of_policy_takes_effect(gateway: Any, chat: Chat) -> None:
    """Pools' thresholds are the service's own: an edit moves requests without a restart of anything."""

    async def pool_of_a_small_request() -> str:
        _, headers, _ = await gateway.ask(chat("hello " * 300, model="model-a", max_tokens=200))
        return "short" if headers["x-inference-pod"] in gateway.instances("a-short") else "long"

    assert "short" == await pool_of_a_small_request()
    gateway.stack.write_fleet(lambda document: document["pools"][0].update(threshold_tokens=128))
    await asyncio.sleep(FOLLOWS_WITHIN_SECONDS)
    assert "long" == await pool_of_a_small_request()
    gateway.stack.write_fleet(lambda document: document["pools"][0].update(threshold_tokens=4096))
    await asyncio.sleep(FOLLOWS_WITHIN_SECONDS)
    assert "short" == await pool_of_a_small_request()
