"""The demo's wait for the service to hear of everything, against a service played by a script."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from loadgen.demo.settled import emptied_load, settled_traces
from loadgen.stack.failure import StackError


@asynccontextmanager
async def admin(path: str, *pages: object) -> AsyncIterator[tuple[str, list[object]]]:
    """An admin interface whose page changes from look to look and then stays; gives its URL and the pages looked at."""
    looked: list[object] = []

    async def page(_request: web.Request) -> web.Response:
        looked.append(pages[min(len(looked), len(pages) - 1)])
        return web.json_response(looked[-1])

    app = web.Application()
    app.add_routes([web.get(path, page)])
    async with TestServer(app) as server:
        yield str(server.make_url("")).rstrip("/"), looked


def in_flight(requests: int) -> dict[str, object]:
    """The part of `/fleet` that is waited for."""
    return {"requests_in_flight": requests}


def traces(total: int, joined: int) -> dict[str, object]:
    """The part of `/traces` that is waited for."""
    return {"summary": {"total": total, "joined": joined}, "traces": []}


async def test_a_book_with_a_late_entry_is_looked_at_again_until_it_is_empty(
    session: aiohttp.ClientSession,
) -> None:
    """Envoy's last log entry may come after the last trace; that is no failure."""
    async with admin("/fleet", in_flight(2), in_flight(1), in_flight(0)) as (url, looked):
        page = await emptied_load(session, url, limit_seconds=30)
        assert 0 == page["requests_in_flight"]
        assert 3 == len(looked)


async def test_a_book_that_never_empties_is_given_as_it_is(session: aiohttp.ClientSession) -> None:
    """The wait has a limit, and what is left can be told."""
    async with admin("/fleet", in_flight(4)) as (url, _looked):
        page = await emptied_load(session, url, limit_seconds=0)
        assert 4 == page["requests_in_flight"]


async def test_traces_are_waited_for_until_each_is_whole(session: aiohttp.ClientSession) -> None:
    """All requests have a trace, and every trace has both sides' spans."""
    async with admin("/traces", traces(1, 1), traces(2, 1), traces(2, 2)) as (url, looked):
        payload = await settled_traces(session, url, requests=2, limit_seconds=30)
        assert 2 == payload["summary"]["joined"]
        assert 3 == len(looked)


async def test_another_status_is_an_error_that_names_the_page(session: aiohttp.ClientSession) -> None:
    """A service that does not know the page is not waited for."""
    async with admin("/other", in_flight(0)) as (url, _looked):
        with pytest.raises(StackError, match=r"/fleet answered 404, expected 200"):
            await emptied_load(session, url, limit_seconds=30)
