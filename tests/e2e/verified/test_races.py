from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest
from aiohttp import web

from extproc.protocol import names
from extproc.verify.judge import JudgeCall
from tests.e2e.verified.scripted import Answer, System, completion, says

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]


class Working:
    """An instance that works until it is told to answer, and notes when it was asked and when it was cancelled."""

    def __init__(self, text: str, *, status: int = 200) -> None:
        self.text, self.status = text, status
        self.asked, self.told, self.cancelled = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def __call__(self, _request: web.Request, document: dict[str, Any]) -> web.StreamResponse:
        self.asked.set()
        try:
            await self.told.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return web.json_response(completion(self.text, document["model"]), status=self.status)


def race(system: System, **answers: Answer) -> asyncio.Task[tuple[int, Any, Any]]:
    """Send a request whose tries, on these instances in this order, are raced after 0.3 seconds."""
    system.order = tuple(answers)
    system.answers.update(answers)
    system.changes = {
        "hedges": True,
        "per_try_timeout_seconds": 0.3,
        "route_cluster": "twins",
        "is_verified": False,
        **system.changes,
    }
    return asyncio.create_task(system.ask(expect=None))


async def within_ten_seconds(event: asyncio.Event) -> None:
    """Wait for an event."""
    await asyncio.wait_for(event.wait(), 10)


async def test_the_next_try_can_win(system: System) -> None:
    """A try beyond its time is raced by the plan's next instance with the same body, and cancelled when it has lost."""
    slow = Working("late")
    status, headers, text = await race(system, t1=slow, t2=says("right"))

    assert (200, "right", system.address["t2"], "2") == (
        status, text, headers[names.INSTANCE], headers[names.ATTEMPTS],
    )  # fmt: skip
    assert 1 == len({request.body for request in system.received})
    await within_ten_seconds(slow.cancelled)


async def test_the_slow_try_can_win(system: System) -> None:
    """The first answer wins, also when it is that of the try which was late, and the other one is cancelled."""
    slow, other = Working("right"), Working("late")
    asking = race(system, t1=slow, t2=other)
    await within_ten_seconds(other.asked)
    slow.told.set()
    status, headers, text = await asking

    assert (200, "right", system.address["t1"]) == (status, text, headers[names.INSTANCE])
    await within_ten_seconds(other.cancelled)


async def test_a_try_that_fails_does_not_end_a_race(system: System) -> None:
    """The late try turns out to fail while the other one works: that one is waited for, and no other is begun."""
    slow, other = Working("", status=503), Working("right")
    system.changes = {"per_try_timeout_seconds": 1.5}
    asking = race(system, t1=slow, t2=other, t3=says("nobody asked"))
    await within_ten_seconds(other.asked)
    assert 2 == await system.counter("cluster.twins.upstream_rq_active")
    slow.told.set()
    async with asyncio.timeout(10):
        while await system.counter("cluster.twins.upstream_rq_active") > 1:
            await asyncio.sleep(0.02)
    other.told.set()
    status, _, text = await asking

    assert (200, "right") == (status, text)
    assert ["t1", "t2"] == [request.instance for request in system.received]


async def test_a_race_that_fails_is_followed(system: System) -> None:
    """The plan's third instance begins while the first one still works."""
    slow, failing = Working("late"), Working("", status=503)
    failing.told.set()
    status, headers, text = await race(system, t1=slow, t2=failing, t3=says("right"))

    assert (200, "right", system.address["t3"]) == (status, text, headers[names.INSTANCE])
    await within_ten_seconds(slow.cancelled)


async def test_a_race_in_which_all_fail_ends_with_an_error(system: System) -> None:
    """The client gets the last instance's own."""
    slow, other = Working("", status=503), Working("", status=500)
    asking = race(system, t1=slow, t2=other)
    await within_ten_seconds(other.asked)
    slow.told.set()
    other.told.set()
    status, _, _ = await asking

    assert status in (500, 503)


async def test_a_deadline_ends_a_race(system: System) -> None:
    """Nobody answers in time: one 504, and both tries are cancelled."""
    slow, other = Working("late"), Working("late")
    system.changes = {"timeout_seconds": 2.0}
    status, _, _ = await race(system, t1=slow, t2=other)

    assert 504 == status
    await within_ten_seconds(slow.cancelled)
    await within_ten_seconds(other.cancelled)


async def test_a_client_that_leaves_a_race_cancels_both(system: System) -> None:
    """Nothing goes on working for nobody."""
    slow, other = Working("late"), Working("late")
    asking = race(system, t1=slow, t2=other)
    await within_ten_seconds(other.asked)
    asking.cancel()

    await within_ten_seconds(slow.cancelled)
    await within_ten_seconds(other.cancelled)


async def test_a_verified_try_that_is_late_is_given_up(system: System) -> None:
    """Behind the ATTEMPT filter the late try is cancelled before the next model begins, and is on record."""
    slow = Working("late")
    system.answers["u1"] = slow
    system.changes = {"per_try_timeout_seconds": 0.5}
    status, headers, text = await system.ask()

    assert (200, "right", "accepted", system.address["u2"], "2") == (
        status, text, headers[names.VERDICT], headers[names.INSTANCE], headers[names.ATTEMPTS],
    )  # fmt: skip
    assert [True, False] == [request.says_its_length for request in system.received]
    await within_ten_seconds(slow.cancelled)
    await system.settle(lambda: len(system.records) == 2)
    assert [("skipped.no_answer", False), ("", True)] == [
        (record.verdict.reason, record.has_answer) for record in system.records
    ]


async def test_a_try_can_be_given_up_while_it_is_judged(system: System) -> None:
    """Its answer is held back in Envoy at that moment; the next model's is judged and delivered."""
    judged: list[bytes] = []

    async def judge(call: JudgeCall) -> tuple[int | None, bytes]:
        judged.append(call.body)
        if b"plausible" in call.body:
            await asyncio.sleep(3)
        return 200, orjson.dumps({"correct": True})

    system.judge = judge
    try:
        await system.restart()
        system.answers["u1"] = says("plausible")
        system.changes = {"per_try_timeout_seconds": 0.7}
        status, headers, text = await system.ask(expect=None)
    finally:
        system.judge = None
        await system.restart()

    assert (200, "right", "accepted", "2") == (status, text, headers[names.VERDICT], headers[names.ATTEMPTS])
    assert any(b"plausible" in body for body in judged)
