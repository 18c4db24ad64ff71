from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import aiohttp
import orjson
import pytest
import pytest_asyncio

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

Chat = Callable[..., dict[str, Any]]


@pytest_asyncio.fixture(loop_scope="module")
async def trusted(gateway: Any, chat: Chat) -> Any:
    """The gateway after every instance has served again, so that an earlier test's failures are forgiven."""

    async def nobody_suspect() -> bool:
        return not any(instance["suspect"] for instance in (await gateway.book())["instances"])

    await asyncio.sleep(0.5)  # Envoy reports the last test's tries within its flush interval
    await gateway.settle(nobody_suspect, within_seconds=30)
    long = "The quick brown fox jumps over the dog. " * 800
    burst = [chat(model="model-a", tokens=20)] * 9 + [chat(model="model-b", tokens=20)] * 6
    burst += [chat(long, model="model-a", tokens=20)] * 4
    assert {200} == {status for status, _, _ in await asyncio.gather(*(gateway.ask(b) for b in burst))}
    await gateway.settle_empty()
    await gateway.reset()
    return gateway


@pytest.mark.parametrize(
    "fault", [{"error_rate": 1.0, "error_status": 503}, {"error_rate": 1.0}, {"disconnect_rate": 1.0}]
)
async def test_a_failure_walks_the_plan(trusted: Any, chat: Chat, fault: dict[str, Any]) -> None:
    """5xx answers and resets go to the next host of the list: each host once, with the very same bytes."""
    hosts = trusted.instances("a-short")
    for address in hosts[:2]:
        await trusted.faults(address, **fault)
    body = orjson.dumps(chat(model="model-a", text="x" * 3000))
    answers = await asyncio.gather(*(trusted.ask(body) for _ in range(3)))

    assert {(200, hosts[2])} == {(status, headers["x-inference-pod"]) for status, headers, _ in answers}
    received = await trusted.received()

    assert 3 == max(int(headers["x-envoy-attempt-count"]) for _, headers, _ in answers)
    assert 1 == len({request["body_sha256"] for request in received})
    by_request: dict[str, list[str]] = {}
    for request in received:
        by_request.setdefault(dict(request["headers"])["x-request-id"], []).append(request["address"])
    assert all(len(set(addresses)) == len(addresses) for addresses in by_request.values())
    for request in received:
        headers = dict(request["headers"])
        tried = by_request[headers["x-request-id"]]
        assert tried == headers["x-gateway-destination-endpoint"].split(",")[: len(tried)]


async def test_who_breaks_streams_off_is_the_last_resort(trusted: Any, chat: Chat) -> None:
    """Such streams cannot be retried, but those after them go elsewhere, however idle the instance looks."""
    breaking, well = trusted.instances("b-short")
    await trusted.faults(breaking, break_rate=1.0)

    async def read(response: aiohttp.ClientResponse) -> str:
        """Read a stream to wherever it ends; the instance that gave it."""
        with contextlib.suppress(aiohttp.ClientError):
            await response.read()
        return response.headers["x-inference-pod"]

    busy = chat(model="model-b", tokens=3500, max_tokens=3500, stream=True)
    while (occupying := await trusted.post(busy)).headers["x-inference-pod"] != well:
        await read(occupying)
    served = []
    for _ in range(10):
        async with trusted.post(chat(model="model-b", tokens=40, stream=True)) as response:
            served.append(await read(response))

        async def is_reported() -> bool:
            return bool((await trusted.book())["requests_in_flight"] <= 1)

        await trusted.settle(is_reported)
    occupying.close()

    assert breaking in {request["address"] for request in await trusted.received()}
    # It is tried anew when its suspicion is over: after a second, and after two, four and eight more.
    assert served.count(breaking) <= 5


async def test_a_refused_connection_goes_on(trusted: Any, chat: Chat) -> None:
    """An instance that nobody listens on costs a retry, not a failure."""
    crashed = trusted.instances("b-short")[0]
    await trusted.faults(crashed, crash=True, recover_after_seconds=3)
    await asyncio.sleep(0.2)
    answers = [await trusted.ask(chat(model="model-b")) for _ in range(6)]

    assert {200} == {status for status, _, _ in answers}
    assert {trusted.instances("b-short")[1]} == {headers["x-inference-pod"] for _, headers, _ in answers}
    await asyncio.sleep(3.5)


async def test_the_last_answer_is_delivered_when_all_fail(trusted: Any, chat: Chat) -> None:
    """With every host failing, the client gets the instance's own error after the planned tries."""
    for address in trusted.stack.addresses:
        await trusted.faults(address, error_rate=1.0, error_status=503)
    status, headers, answer = await trusted.ask(chat(model="model-a"))

    assert (503, "3") == (status, headers["x-envoy-attempt-count"])
    assert "error" in answer
    addresses = [request["address"] for request in await trusted.received()]
    assert 3 == len(addresses) == len(set(addresses))


async def test_a_client_error_is_not_retried(trusted: Any, chat: Chat) -> None:
    """A 4xx of the instance is the client's business, once."""
    for address in trusted.stack.addresses:
        await trusted.faults(address, error_rate=1.0, error_status=422)
    status, headers, _ = await trusted.ask(chat(model="model-a"))

    assert (422, "1") == (status, headers["x-envoy-attempt-count"])


async def test_state_is_charged_to_who_served(trusted: Any, chat: Chat) -> None:
    """After a retry the running request counts on the second host, and at the end nobody has anything."""
    hosts = trusted.instances("b-short")
    await trusted.faults(hosts[0], error_rate=1.0, error_status=503)
    tasks = [
        asyncio.create_task(trusted.ask(chat(model="model-b", tokens=60, max_tokens=60))) for _ in range(2)
    ]
    for address in hosts:
        await trusted.faults(address, time_scale=1 / 3)

    async def moved() -> bool:
        own = {i["address"]: i["sequences_in_flight"] for i in (await trusted.book())["instances"]}
        return (own[hosts[0]], own[hosts[1]]) == (0, 2)

    await trusted.settle(moved)
    answers = await asyncio.gather(*tasks)
    for address in hosts:
        await trusted.faults(address, time_scale=10.0)
    await trusted.settle_empty()

    assert [(200, hosts[1])] * 2 == [(status, h["x-inference-pod"]) for status, h, _ in answers]
    assert all(i["sequences_in_flight"] == 0 for i in (await trusted.book())["instances"])


async def overflows(gateway: Any) -> int:
    """Context-length rejections that were retried, by the service's metrics page."""
    lines = (await gateway.metrics()).splitlines()
    name = "ttca_overflow_retries_total{"
    return sum(int(float(line.rpartition(" ")[2])) for line in lines if line.startswith(name))


async def test_a_too_small_estimate_is_retried_in_the_long_pool(trusted: Any, chat: Chat) -> None:
    """A context-length rejection by a short instance becomes one retry on a long one, and is learned from."""
    # Text that takes several times more tokens than its kind usually does.
    rare = " ".join(f"{n:x}" for n in range(10**9, 10**9 + 7 * 10**8, 10**6))
    before = await overflows(trusted)
    status, headers, answer = await trusted.ask(chat(rare, model="model-a"))
    tries = [request["address"] for request in await trusted.received()]

    assert 200 == status, answer
    if len(tries) == 2:
        assert tries[0] in trusted.instances("a-short")
        assert tries[1] in trusted.instances("a-long")
    assert headers["x-inference-pod"] in trusted.instances("a-long")
    assert answer["usage"]["prompt_tokens"] > 4096
    await trusted.settle_empty()
    assert len(tries) - 1 == await overflows(trusted) - before


async def test_other_rejections_are_not_retried_in_the_long_pool(trusted: Any, chat: Chat) -> None:
    """A 400 that is not about the context length is final, also for a plan that provides for an overflow."""
    for address in trusted.stack.addresses:
        await trusted.faults(address, error_rate=1.0, error_status=400)
    before = await overflows(trusted)
    status, headers, _ = await trusted.ask(chat("The quick brown fox jumps. " * 480, model="model-a"))
    # The log of tries comes on a stream of its own; by the end of the next request's it has come as well.
    await trusted.settle_empty()
    await trusted.ask(chat(model="model-b"))
    await trusted.settle_empty()

    assert (400, "1") == (status, headers["x-envoy-attempt-count"])
    assert before == await overflows(trusted)
