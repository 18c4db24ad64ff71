"""Waits until the service has heard of everything: Envoy sends its spans and its access log in batches, after the answers."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import orjson

from extproc.telemetry.trace_tree import TracesPayload
from loadgen.stack.failure import StackError

POLL_SECONDS = 0.25
MOST_TRACES = 1000


async def settled_traces(
    session: aiohttp.ClientSession, admin_url: str, *, requests: int, limit_seconds: float
) -> TracesPayload:
    """Read the traces as soon as all `requests` are there and whole, or as they are after `limit_seconds`.

    Raises:
        StackError: The service answers with another status than 200.
    """
    deadline = asyncio.get_running_loop().time() + limit_seconds
    while True:
        payload: TracesPayload = await read_json(session, f"{admin_url}/traces?last={MOST_TRACES}")
        summary = payload["summary"]
        done = summary["joined"] >= requests and summary["joined"] == summary["total"]
        if done or asyncio.get_running_loop().time() > deadline:
            return payload
        await asyncio.sleep(POLL_SECONDS)


async def emptied_load(
    session: aiohttp.ClientSession, admin_url: str, *, limit_seconds: float
) -> dict[str, Any]:
    """Read the page `/fleet` as soon as no request is in flight, or as it is after `limit_seconds`.

    Raises:
        StackError: The service answers with another status than 200.
    """
    deadline = asyncio.get_running_loop().time() + limit_seconds
    while True:
        page: dict[str, Any] = await read_json(session, f"{admin_url}/fleet")
        if not page["requests_in_flight"] or asyncio.get_running_loop().time() > deadline:
            return page
        await asyncio.sleep(POLL_SECONDS)


async def read_json(session: aiohttp.ClientSession, url: str) -> Any:  # noqa: ANN401 - whatever JSON holds
    """Read a JSON page.

    Raises:
        StackError: The status is not 200.
    """
    async with session.get(url) as response:
        if response.status != 200:
            raise StackError(f"{url} answered {response.status}, expected 200")
        return orjson.loads(await response.read())
