from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp import web

from extproc.decide.attempts import AttemptContext, Continuation
from extproc.protocol import names
from extproc.server.attempts import go_on_while_planned
from tests.e2e.verified.scripted import (
    MODELS,
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


@pytest.mark.parametrize(("rejections", "lengths"), [(1, [True, True]), (2, [True, False, False])])
async def test_a_death_after_a_rejection_sends_no_broken_body(
    system: System, rejections: int, lengths: list[bool]
) -> None:
    """The next model gets the body that DECIDE made, whole, also after a try whose body had another length."""

    async def wrong(_request: web.Request, document: dict[str, Any]) -> web.StreamResponse:
        return web.json_response(completion("wrong", document["model"]))

    def die(context: AttemptContext) -> Continuation:
        if context.number == rejections:
            stopping.extend(asyncio.ensure_future(replica.stop()) for replica in system.replicas)
        return go_on_while_planned(context)

    stopping: list[asyncio.Future[None]] = []
    system.answers |= {"u1": wrong, "u2": wrong}
    system.order = ("u2", "u1", "u3")
    system.go_on = die
    try:
        status, _, _ = await system.ask()
    finally:
        await asyncio.gather(*stopping)
        received = list(system.received)
        await system.restart()

    assert 200 == status
    assert ["u2", "u1", "u3"][: rejections + 1] == [request.instance for request in received]
    assert MODELS["u2"] == received[-1].document["model"]
    assert lengths == [request.says_its_length for request in received]
    assert {"hi"} == {request.document["messages"][0]["content"] for request in received}
