from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp import web

from extproc.decide.attempts import AttemptContext, Continuation
from extproc.protocol import names
from extproc.server.attempts import go_on_while_planned
from tests.e2e.verified.scripted import (
    System,
    completion,
)

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]


async def test_the_answer_survives_the_death_of_the_service(system: System) -> None:
    """Killed while the instance works: what the instance answers is delivered as it is."""
    reached, release = asyncio.Event(), asyncio.Event()

    async def wait(_request: web.Request, document: dict[str, Any]) -> web.StreamResponse:
        reached.set()
        await release.wait()
        return web.json_response(completion("unjudged", document["model"]))

    system.answers["u1"] = wait
    asking = asyncio.create_task(system.ask())
    try:
        await asyncio.wait_for(reached.wait(), 5)
        for replica in system.replicas:
            await replica.stop()
        release.set()
        status, headers, text = await asking
    finally:
        await system.restart()

    assert (200, "unjudged", "unverified") == (status, text, headers[names.VERDICT])


async def test_a_death_after_a_rejection_sends_no_broken_body(system: System) -> None:
    """The second model gets the body that DECIDE made, whole: its length never changed between the tries."""

    async def wrong(_request: web.Request, document: dict[str, Any]) -> web.StreamResponse:
        return web.json_response(completion("wrong", document["model"]))

    def die(context: AttemptContext) -> Continuation:
        stopping.extend(asyncio.ensure_future(replica.stop()) for replica in system.replicas)
        return go_on_while_planned(context)

    stopping: list[asyncio.Future[None]] = []
    system.answers["u1"] = wrong
    system.order = ("u2", "u1", "u3")
    system.answers["u2"] = wrong
    system.go_on = die
    try:
        status, _, _ = await system.ask()
    finally:
        await asyncio.gather(*stopping)
        received = list(system.received)
        await system.restart()

    assert 200 == status
    assert ["u2", "u1"] == [request.instance for request in received]
    for request in received:
        assert str(len(request.body)) == request.headers["content-length"]
        assert "hi" == request.document["messages"][0]["content"]
