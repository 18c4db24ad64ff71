from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import orjson
import pytest
from aiohttp import web

from extproc.calibrate.outcome import BROKEN_FLAGS
from tests.e2e.verified.scripted import System, completion

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]


async def test_a_stream_that_breaks_off_is_reported_with_the_status_it_began_with(system: System) -> None:
    """Of the try and of the request; flags tell that it broke, and no other instance is asked."""
    was_read = asyncio.Event()

    async def breaks(request: web.Request, _document: dict[str, Any]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b'data: {"choices": []}\n\n')
        await was_read.wait()
        assert request.transport is not None
        request.transport.abort()
        return response

    system.order, system.answers["t1"] = ("t1", "t2"), breaks
    system.changes = {"route_cluster": "twins", "is_verified": False, "ability": None, "model": None}
    async with system.post(expect=None, stream=True) as response:
        assert b'data: {"choices": []}\n\n' == await response.content.readany()
        was_read.set()
        with pytest.raises(aiohttp.ClientError):
            await response.read()
    [tried], outcome = await system.reported()

    assert ["t1"] == [request.instance for request in system.received]
    assert (200, True, True) == (tried.status, tried.is_failure, tried.has_begun)
    assert (200, False) == (outcome.status, outcome.is_served)
    assert BROKEN_FLAGS & set(tried.flags)
    assert BROKEN_FLAGS & set(outcome.flags)


async def test_an_answer_that_breaks_off_while_it_is_held_is_followed_by_the_next_try(system: System) -> None:
    """The client has seen nothing of it: its try is reported as one that gave no answer."""

    async def breaks(request: web.Request, document: dict[str, Any]) -> web.StreamResponse:
        content = orjson.dumps(completion("right", document["model"]))
        response = web.StreamResponse(
            headers={"content-type": "application/json", "content-length": str(len(content))}
        )
        await response.prepare(request)
        await response.write(content[:20])
        assert request.transport is not None
        request.transport.abort()
        return response

    system.answers["u1"] = breaks
    status, _, text = await system.ask()
    tries, outcome = await system.reported()

    assert (200, "right") == (status, text)
    assert ["u1", "u2"] == [request.instance for request in system.received]
    failed = [one for one in tries if one.is_failure]
    assert [(system.address["u1"], False)] == [(one.address, one.has_begun) for one in failed]
    assert (2, True) == (outcome.attempts, outcome.is_served)
