from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

Chat = Callable[..., dict[str, Any]]

SPOOFED = {
    "x-gateway-destination-endpoint": "127.0.0.1:9",
    "x-gateway-destination-endpoint-served": "127.0.0.1:9",
    "x-ttca-cluster": "b-short",
    "x-ttca-decision-id": "chosen-by-the-client",
    "x-ttca-attempt": "1;overflow=127.0.0.1:9",
    "x-ttca-retry": "1",
    "x-envoy-max-retries": "9",
    "x-envoy-upstream-rq-timeout-ms": "1",
    "x-envoy-upstream-rq-per-try-timeout-ms": "1",
    "x-envoy-retry-on": "5xx",
    "x-envoy-original-dst-host": "127.0.0.1:9",
}


async def test_spoofed_headers_do_not_steer(gateway: Any, chat: Chat) -> None:
    """Whatever control headers a client sends, the decision stands, and instances see only ours."""
    body = chat(model="model-a")
    answers = await asyncio.gather(*(gateway.ask(body, headers=SPOOFED) for _ in range(6)))
    received = await gateway.received()

    assert {200} == {status for status, _, _ in answers}
    assert {True} == {r["address"] in gateway.instances("a-short") for r in received}
    for request in received:
        headers = dict(request["headers"])
        assert "chosen-by-the-client" != headers["x-ttca-decision-id"]
        assert "127.0.0.1:9" not in headers["x-gateway-destination-endpoint"]
        assert SPOOFED["x-ttca-attempt"] != headers.get("x-ttca-attempt")
    await gateway.settle_empty()


async def kill_service(gateway: Any) -> None:
    """Kill the service and make sure that it is really dead: no process, nobody listening."""
    pid = gateway.stack.service.pid
    os.kill(pid, signal.SIGKILL)
    await gateway.stack.service.kill()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    for address in (gateway.stack.settings.service.listen, gateway.stack.settings.service.admin):
        host, _, port = address.rpartition(":")
        with pytest.raises(OSError):
            await asyncio.open_connection(host, int(port))


async def test_requests_succeed_with_the_service_dead(gateway: Any, chat: Chat) -> None:
    """With the service killed, `auto`, concrete models, streams and spoofed headers are all served by the fallback."""
    await kill_service(gateway)
    before = await gateway.counter("failure_mode_allowed")

    bodies = [chat(), chat(model="model-a"), chat(model="model-b"), chat(stream=True)] * 3
    for spoof in ({}, SPOOFED):
        for body in bodies:
            async with gateway.post(body, headers=spoof) as response:
                answer = await response.read()
                assert 200 == response.status, answer
    for model, clusters in (("model-a", ("a-short", "a-long")), ("model-b", ("b-short",))):
        serving = {address for cluster in clusters for address in gateway.instances(cluster)}
        assert serving >= {r["address"] for r in await gateway.received() if r["model"] == model}
    assert await gateway.counter("failure_mode_allowed") >= before + 2 * len(bodies)


async def test_a_failing_instance_is_retried_with_the_service_dead(gateway: Any, chat: Chat) -> None:
    """The fallback route retries on another host."""
    if gateway.stack.service.is_running:
        await kill_service(gateway)
    for address in gateway.instances("b-short")[:1]:
        await gateway.faults(address, error_rate=1.0, error_status=503)
    answers = [await gateway.ask(chat(model="model-b")) for _ in range(6)]

    assert {200} == {status for status, _, _ in answers}


async def test_a_long_prompt_finds_the_long_pool_with_the_service_dead(gateway: Any, chat: Chat) -> None:
    """Envoy alone sends a body that is too large for the short pool to the long one."""
    if gateway.stack.service.is_running:
        await kill_service(gateway)
    long = "The quick brown fox jumps over the dog. " * 1500
    answers = [await gateway.ask(chat(long, model="model-a")) for _ in range(5)]

    assert {200} == {status for status, _, _ in answers}
    assert {True} == {h["x-inference-pod"] in gateway.instances("a-long") for _, h, _ in answers}


async def test_decisions_resume_when_the_service_returns(gateway: Any, chat: Chat) -> None:
    """A restarted service is used again without touching Envoy, and nothing is left on its book."""
    if gateway.stack.service.is_running:
        await kill_service(gateway)
    await gateway.stack.start_service()

    async def decided() -> bool:
        try:
            await gateway.ask(chat(model="model-b"))
        except aiohttp.ClientError:
            return False
        return any("x-ttca-decision-id" in dict(r["headers"]) for r in await gateway.received())

    await gateway.settle(decided, within_seconds=15)
    await gateway.settle_empty()
    assert 0 == (await gateway.book())["requests_expired"]
