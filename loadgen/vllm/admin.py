"""`/admin/*` of an instance: fault switches and the journal. For the local machine only, and never through a proxy."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any, Protocol

import orjson
from aiohttp import web

from loadgen.vllm.faults import Faults
from loadgen.vllm.journal import Journal
from loadgen.vllm.pump import EnginePump

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_PROXY_HEADERS = ("x-envoy-", "x-forwarded-")


class Switchable(Protocol):
    """What of an instance can be switched and read."""

    faults: Faults
    journal: Journal

    @property
    def pump(self) -> EnginePump:
        """What drives the engine."""

    async def crash(self) -> None:
        """Stop to listen and reset every connection."""

    async def recover(self) -> None:
        """Listen again."""


def add_admin_routes(application: web.Application, instance: Switchable) -> None:
    """Serve the switches of an instance."""
    admin = _Admin(instance)
    application.router.add_get("/admin/config", _local_only(admin.read))
    application.router.add_post("/admin/config", _local_only(admin.change))
    application.router.add_get("/admin/requests", _local_only(admin.requests))
    application.router.add_delete("/admin/requests", _local_only(admin.forget))


def _local_only(handler: Handler) -> Handler:
    async def guarded(request: web.Request) -> web.StreamResponse:
        peer = ipaddress.ip_address(request.remote or "0.0.0.0")  # noqa: S104 - stands for an unknown peer
        proxied = any(name.lower().startswith(_PROXY_HEADERS) for name in request.headers)
        if not peer.is_loopback or proxied:
            raise web.HTTPForbidden(text="/admin answers direct local requests only\n")
        return await handler(request)

    return guarded


class _Admin:
    def __init__(self, instance: Switchable) -> None:
        self._instance = instance
        self._tasks: set[asyncio.Task[None]] = set()

    async def read(self, request: web.Request) -> web.Response:
        del request
        return _json(self._state())

    async def change(self, request: web.Request) -> web.Response:
        """Take changes whole or not at all."""
        try:
            changes = _object(await request.read())
            crash = changes.pop("crash", False) is True
            recover_after = _seconds(changes.pop("recover_after_seconds", None), "recover_after_seconds")
            time_scale = _seconds(changes.pop("time_scale", None), "time_scale")
            faults = self._instance.faults.changed(changes)
        except ValueError as error:
            return _json({"error": str(error)}, status=400)
        self._instance.faults = faults
        if time_scale is not None:
            self._instance.pump.time_scale = time_scale
        if faults.engine_dead:
            self._instance.pump.fail_all()
        if crash:
            task = asyncio.create_task(self._crash(recover_after))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return _json(self._state())

    async def requests(self, request: web.Request) -> web.Response:
        last = request.query.get("last", "1000")
        if not last.isdigit():
            return _json({"error": "last must be a number"}, status=400)
        journal = self._instance.journal
        return _json(
            {"total": journal.total, "requests": [asdict(entry) for entry in journal.last(int(last))]}
        )

    async def forget(self, request: web.Request) -> web.Response:
        del request
        self._instance.journal.clear()
        return _json(self._state())

    def _state(self) -> dict[str, Any]:
        pump = self._instance.pump
        return {
            **asdict(self._instance.faults),
            "time_scale": pump.time_scale,
            "unfinished_requests": pump.unfinished_jobs,
        }

    async def _crash(self, recover_after_seconds: float | None) -> None:
        # The answer to the command itself leaves first.
        await asyncio.sleep(0.02)
        await self._instance.crash()
        if recover_after_seconds is not None:
            await asyncio.sleep(recover_after_seconds)
            await self._instance.recover()


def _object(body: bytes) -> dict[str, Any]:
    document = orjson.loads(body)
    if not isinstance(document, dict):
        raise ValueError("the body must be a JSON object")
    return document


def _seconds(value: object, name: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise ValueError(f"{name} must be a number above 0, got {value!r}")
    return float(value)


def _json(document: object, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(document), status=status, content_type="application/json")
