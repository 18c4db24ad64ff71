from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import orjson
import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

Chat = Callable[..., dict[str, Any]]


async def forgive(gateway: Any) -> None:
    """Wait until nobody is suspect any more."""

    async def nobody_suspect() -> bool:
        return not any(instance["suspect"] for instance in (await gateway.book())["instances"])

    await gateway.settle(nobody_suspect, within_seconds=20)


@pytest.mark.parametrize(
    "fault", [{"error_rate": 1.0, "error_status": 503}, {"error_rate": 1.0}, {"disconnect_rate": 1.0}]
)
async def test_a_failure_walks_the_plan(gateway: Any, chat: Chat, fault: dict[str, Any]) -> None:
    """5xx answers and resets go to the next host of the list: each host once, with the very same bytes."""
    await forgive(gateway)
    hosts = gateway.instances("a-short")
    for address in hosts[:2]:
        await gateway.faults(address, **fault)
    body = orjson.dumps(chat(model="model-a", text="x" * 3000))
    tries = []
    for _ in range(4):
        status, headers, _ = await gateway.ask(body)
        assert (200, hosts[2]) == (status, headers["x-inference-pod"])
        tries.append(int(headers["x-envoy-attempt-count"]))
        await forgive(gateway)
    received = await gateway.received()

    assert max(tries) == 3
    assert 1 == len({request["body_sha256"] for request in received})
    by_request: dict[str, list[str]] = {}
    for request in received:
        by_request.setdefault(dict(request["headers"])["x-request-id"], []).append(request["address"])
    assert all(len(set(addresses)) == len(addresses) for addresses in by_request.values())
    planned = {
        dict(r["headers"])["x-request-id"]: dict(r["headers"]).get("x-gateway-destination-endpoint")
        for r in received
    }
    for request_id, addresses in by_request.items():
        if planned[request_id] is not None:
            assert planned[request_id].split(",")[: len(addresses)] == addresses


async def test_a_refused_connection_goes_on(gateway: Any, chat: Chat) -> None:
    """An instance that nobody listens on costs a retry, not a failure."""
    await forgive(gateway)
    crashed = gateway.instances("b-short")[0]
    await gateway.faults(crashed, crash=True, recover_after_seconds=3)
    await asyncio.sleep(0.2)
    answers = [await gateway.ask(chat(model="model-b")) for _ in range(6)]

    assert {200} == {status for status, _, _ in answers}
    assert {gateway.instances("b-short")[1]} == {headers["x-inference-pod"] for _, headers, _ in answers}
    await asyncio.sleep(3.5)


async def test_the_last_answer_is_delivered_when_all_fail(gateway: Any, chat: Chat) -> None:
    """With every host failing, the client gets the instance's own error after the planned tries."""
    await forgive(gateway)
    for address in gateway.stack.addresses:
        await gateway.faults(address, error_rate=1.0, error_status=503)
    status, headers, answer = await gateway.ask(chat(model="model-a"))

    assert (503, "3") == (status, headers["x-envoy-attempt-count"])
    assert "error" in answer
    addresses = [request["address"] for request in await gateway.received()]
    assert 3 == len(addresses) == len(set(addresses))


async def test_a_client_error_is_not_retried(gateway: Any, chat: Chat) -> None:
    """A 4xx of the instance is the client's business, once."""
    await forgive(gateway)
    for address in gateway.stack.addresses:
        await gateway.faults(address, error_rate=1.0, error_status=422)
    status, headers, _ = await gateway.ask(chat(model="model-a"))

    assert (422, "1") == (status, headers["x-envoy-attempt-count"])


async def test_state_is_charged_to_who_served(gateway: Any, chat: Chat) -> None:
    """After a retry the running request counts on the second host, and at the end nobody has anything."""
    await forgive(gateway)
    hosts = gateway.instances("b-short")
    await gateway.faults(hosts[0], error_rate=1.0, error_status=503)
    tasks = [asyncio.create_task(gateway.ask(chat(model="model-b", tokens=60, max_tokens=60))) for _ in range(2)]
    for address in hosts:
        await gateway.faults(address, time_scale=3.0)

    async def moved() -> bool:
        own = {i["address"]: i["sequences_in_flight"] for i in (await gateway.book())["instances"]}
        return (own[hosts[0]], own[hosts[1]]) == (0, 2)

    await gateway.settle(moved)
    answers = await asyncio.gather(*tasks)
    for address in hosts:
        await gateway.faults(address, time_scale=0.1)
    await gateway.settle_empty()

    assert [(200, hosts[1])] * 2 == [(status, h["x-inference-pod"]) for status, h, _ in answers]
    assert all(i["sequences_in_flight"] == 0 for i in (await gateway.book())["instances"])


async def test_a_too_small_estimate_is_retried_in_the_long_pool(gateway: Any, chat: Chat) -> None:
    """vLLM's context-length rejection by a short instance becomes one retry on a long one, and is learned from."""
    await forgive(gateway)
    # Text that takes several times more tokens than its kind usually does.
    rare = " ".join(f"{n:x}" for n in range(10**9, 10**9 + 7 * 10**8, 10**6))
    status, headers, answer = await gateway.ask(chat(rare, model="model-a"))
    tries = [request["address"] for request in await gateway.received()]

    assert 200 == status, answer
    if len(tries) == 2:
        assert tries[0] in gateway.instances("a-short")
        assert tries[1] in gateway.instances("a-long")
    assert headers["x-inference-pod"] in gateway.instances("a-long")
    assert answer["usage"]["prompt_tokens"] > 4096


async def test_other_rejections_are_not_retried_in_the_long_pool(gateway: Any, chat: Chat) -> None:
    """A 400 that is not about the context length is final, also for a plan that provides for an overflow."""
    await forgive(gateway)
    for address in gateway.stack.addresses:
        await gateway.faults(address, error_rate=1.0, error_status=400)
    status, headers, _ = await gateway.ask(chat("The quick brown fox jumps. " * 480, model="model-a"))

    assert (400, "1") == (status, headers["x-envoy-attempt-count"])
