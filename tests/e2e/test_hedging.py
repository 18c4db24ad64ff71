from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tests.e2e.questions import question, weighing_quality

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

Chat = Callable[..., dict[str, Any]]

USUAL = 10.0
CRAWLING = 0.001
"""Real seconds per simulated second: an answer that takes no time to speak of, and one that never comes."""

DEADLINE = {"x-ttca-deadline-ms": "25000"}


@pytest.fixture(scope="module")
def document(document: dict[str, Any]) -> dict[str, Any]:
    """The usual fleet, weighing quality, with one retry."""
    document["budgets"] = {"max_attempts": 2}
    return weighing_quality(document, large=0.01)


async def race(gateway: Any, body: dict[str, Any], headers: dict[str, str]) -> tuple[Any, str, str]:
    """Send a request whose first try crawls, and let the second one answer once both are on the load book.

    Returns the answer, and the instances of the first and of the second try.
    """
    for address in gateway.stack.addresses:
        await gateway.faults(address, time_scale=CRAWLING)
    asking = asyncio.create_task(gateway.ask(body, headers=headers))
    try:

        async def both_are_charged() -> bool:
            charged = [i["address"] for i in (await gateway.book())["instances"] if i["sequences_in_flight"]]
            return {request["address"] for request in await gateway.received()} == set(charged) and (
                len(charged) == 2
            )

        await gateway.settle(both_are_charged, within_seconds=20)
        first, second = [request["address"] for request in await gateway.received()]
        await gateway.faults(second, time_scale=USUAL)
        return await asking, first, second
    finally:
        asking.cancel()


async def hedge_seconds(gateway: Any, trace_id: str) -> float | None:
    """After how long the tries of a traced request are raced, as its decision's span tells; None for never."""
    found: list[dict[str, Any]] = []

    def collect(nodes: list[dict[str, Any]]) -> None:
        for node in nodes:
            if node["name"] == "ttca.decide":
                found.append(node["attributes"])
            collect(node["children"])

    async def is_there() -> bool:
        async with gateway.session.get(f"{gateway.stack.service_admin_url}/traces?last=1000") as response:
            for trace in (await response.json())["traces"]:
                if trace["trace_id"] == trace_id and trace["is_joined"]:
                    collect(trace["roots"])
        return bool(found)

    await gateway.settle(is_there, within_seconds=20)
    return found[0].get("ttca.hedge_seconds")


async def settle_freed(gateway: Any, loser: str) -> None:
    """Wait until nobody is charged with anything and the instance that lost has nothing left to do."""
    await gateway.settle_empty()

    async def is_aborted() -> bool:
        async with gateway.session.get(f"http://{loser}/admin/config") as response:
            return bool((await response.json())["unfinished_requests"] == 0)

    await gateway.settle(is_aborted)
    assert {0} == {i["sequences_in_flight"] for i in (await gateway.book())["instances"]}
    for address in gateway.stack.addresses:
        await gateway.faults(address, time_scale=USUAL)


async def test_a_slow_try_is_raced_by_the_plans_next(gateway: Any, chat: Chat) -> None:
    """The next instance starts while the first one works, its answer wins, and the losing try is cancelled and freed."""
    (status, headers, answer), first, second = await race(gateway, chat(model="model-a"), DEADLINE)

    assert (200, "model-a") == (status, answer["model"])
    assert first != second
    assert (second, second, "2") == (
        headers["x-inference-pod"], headers["x-ttca-instance"], headers["x-ttca-attempts"],
    )  # fmt: skip
    await settle_freed(gateway, first)
    received = await gateway.received()
    assert [first, second] == [request["address"] for request in received]
    assert 1 == len({request["body_sha256"] for request in received})
    planned = dict(received[0]["headers"])["x-gateway-destination-endpoint"].split(",")
    assert [first, second] == planned


async def test_a_verified_try_that_is_late_is_given_up(gateway: Any) -> None:
    """In the union cluster the late try ends before the next model's begins, whose answer is verified."""
    for address in gateway.stack.addresses:
        await gateway.faults(address, time_scale=CRAWLING)
    body = question(right="model-b", tokens=5)
    asking = asyncio.create_task(gateway.ask(body, headers=DEADLINE | {"x-ttca-expect": "exact:42"}))
    try:

        async def has_moved() -> bool:
            tried = [request["address"] for request in await gateway.received()]
            charged = [i["address"] for i in (await gateway.book())["instances"] if i["sequences_in_flight"]]
            return len(tried) == 2 and charged == tried[1:]

        await gateway.settle(has_moved, within_seconds=22)
        first, second = [request["address"] for request in await gateway.received()]
        await gateway.faults(second, time_scale=USUAL)
        status, headers, answer = await asking
    finally:
        asking.cancel()

    assert (200, "42") == (status, answer["choices"][0]["message"]["content"])
    assert ("accepted", "model-b", second, "2") == (
        headers["x-ttca-verdict"], headers["x-ttca-model"], headers["x-ttca-instance"], headers["x-ttca-attempts"],
    )  # fmt: skip
    assert 0 <= int(headers["x-ttca-elapsed-ms"]) < 25_000
    await settle_freed(gateway, first)
    assert first in (*gateway.instances("a-short"), *gateway.instances("a-long"))
    assert 1 == await gateway.counter("cluster.fleet.upstream_rq_per_try_timeout")

    async def loser_is_on_record() -> bool:
        line = 'ttca_attempts_total{model="model-a",verdict="unverified",then="none"} 1'
        return line in (await gateway.metrics()).splitlines()

    await gateway.settle(loser_is_on_record)


async def test_without_a_deadline_nothing_is_raced(gateway: Any, chat: Chat) -> None:
    """Nothing is urgent: the one try is waited for, as the decision's span tells."""
    hedges = {}
    for number, headers in enumerate((DEADLINE, {})):
        trace_id = f"{0xB0 + number:032x}"
        status, _, _ = await gateway.ask(
            chat(model="model-a"), headers=headers | {"traceparent": f"00-{trace_id}-00f067aa0ba902b7-01"}
        )
        assert 200 == status
        hedges[trace_id] = await hedge_seconds(gateway, trace_id)

    with_deadline, without = hedges.values()
    assert with_deadline is not None
    assert 0.0 < with_deadline < 25.0
    assert without is None
