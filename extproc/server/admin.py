"""The service's own HTTP endpoint for people and monitors: health, metrics, the fleet's load and the last traces."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import orjson
from aiohttp import web

from extproc.telemetry.trace_filter import TraceFilter


def admin_app(
    *,
    is_ready: Callable[[], bool],
    metrics_text: Callable[[], str],
    fleet: Callable[[], Any],
    traces: Callable[[int, TraceFilter], Any],
) -> web.Application:
    """Build the application; each page is made by the function given for it.

    Paths: `/healthz` (the process lives), `/readyz` (it serves), `/metrics` (Prometheus text), `/fleet` (JSON: load by
    instance), `/traces?last=N` (JSON: the newest N traces, at most 1000; with `request`, `status` or `verdict` of those that
    `TraceFilter` matches).

    `traces` takes long, so it is called beside the event loop, by one request at a time; it must bear that.
    """
    one_query = asyncio.Lock()

    async def healthz(_request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_request: web.Request) -> web.Response:
        return web.Response(text="ready\n") if is_ready() else web.Response(status=503, text="not ready\n")

    async def metrics(_request: web.Request) -> web.Response:
        return web.Response(text=metrics_text(), content_type="text/plain")

    async def fleet_page(_request: web.Request) -> web.Response:
        return _json(fleet())

    async def traces_page(request: web.Request) -> web.Response:
        asked = request.query.get("last", "20")
        if not asked.isdecimal() or not 1 <= int(asked) <= 1000:
            raise web.HTTPBadRequest(text=f"last={asked[:40]!r}: expected a whole number from 1 to 1000\n")
        words = {field: request.query.get(field, "") for field in ("request", "status", "verdict")}
        try:
            wanted = TraceFilter(**words)
        except ValueError as error:
            raise web.HTTPBadRequest(text=f"{error}\n") from error
        async with one_query:
            return await asyncio.to_thread(lambda: _json(traces(int(asked), wanted)))

    app = web.Application()
    app.add_routes(
        [
            web.get("/healthz", healthz),
            web.get("/readyz", readyz),
            web.get("/metrics", metrics),
            web.get("/fleet", fleet_page),
            web.get("/traces", traces_page),
        ]
    )
    return app


def _json(value: object) -> web.Response:
    return web.Response(
        body=orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS), content_type="application/json"
    )
