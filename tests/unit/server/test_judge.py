from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from extproc.server.judge import HttpJudge
from extproc.verify.judge import MAX_REPLY_BYTES, JudgeCall

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@pytest.fixture
async def ask() -> AsyncIterator[Callable[..., Awaitable[tuple[int | None, bytes]]]]:
    """Ask a judge that answers by the function given."""
    servers: list[TestServer] = []
    judge = HttpJudge(max_calls=1)

    async def call(answer: Answer, timeout_seconds: float = 5.0) -> tuple[int | None, bytes]:
        app = web.Application()
        app.router.add_post("/judge", answer)
        servers.append(TestServer(app))
        await servers[-1].start_server()
        url = str(servers[-1].make_url("/judge"))
        return await judge(JudgeCall(url, (("x-key", "k"),), b"call", timeout_seconds))

    yield call
    await judge.close()
    for server in servers:
        await server.close()


async def test_a_reply_is_handed_on(ask: Any) -> None:
    """Status and body as they came; the call had its headers and its body."""

    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=201, body=request.headers["x-key"].encode() + await request.read())

    assert (201, b"kcall") == await ask(answer)


async def test_a_late_reply_is_none(ask: Any) -> None:
    """The call has its own time."""

    async def answer(_request: web.Request) -> web.Response:
        await asyncio.sleep(1)
        return web.Response()

    assert (None, b"") == await ask(answer, 0.05)


async def test_a_broken_connection_is_no_reply(ask: Any) -> None:
    """The judge may die at any moment."""

    async def answer(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.close()
        return web.Response()

    assert (None, b"") == await ask(answer)


async def test_an_endless_reply_is_cut(ask: Any) -> None:
    """It is no verdict, and its reader knows by its length."""

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(body=b"x" * (1 << 20))

    status, body = await ask(answer)

    assert 200 == status
    assert MAX_REPLY_BYTES < len(body) < 1 << 20


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/x", "nonsense", "http://"])
async def test_an_address_that_nobody_answers_is_no_reply(url: str) -> None:
    """Nor is one that is none."""
    judge = HttpJudge()
    try:
        assert (None, b"") == await judge(JudgeCall(url, (), b"", 1.0))
    finally:
        await judge.close()


async def test_calls_do_not_pile_up(ask: Any) -> None:
    """One beyond the limit is not made."""

    async def answer(_request: web.Request) -> web.Response:
        await asyncio.sleep(0.2)
        return web.Response()

    first = asyncio.create_task(ask(answer))
    await asyncio.sleep(0.1)

    assert (None, b"") == await ask(answer)
    assert (200, b"") == await first
