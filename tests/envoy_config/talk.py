"""How the tests on a running Envoy talk to it, to its instances and to the stub of the service."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

from aiohttp import web

from extproc.protocol import names
from extproc.settings import Settings

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def post(
    gateway: Any, body: Any, path: str = "/v1/chat/completions", **headers: str
) -> SimpleNamespace:
    """Send a request and read the whole answer."""
    data = io.BytesIO(body if isinstance(body, bytes) else json.dumps(body).encode())
    sent = {"content-type": "application/json"} | {
        key.replace("_", "-"): value for key, value in headers.items()
    }
    async with gateway.client.post(f"{gateway.url}{path}", data=data, headers=sent) as response:
        text = await response.read()
        return SimpleNamespace(status=response.status, headers=response.headers, body=text)


def decided(
    *hosts: str, cluster: str, retries: int = 0, **metadata: Any
) -> Callable[[bytes], SimpleNamespace]:
    """Make the stub decide on a list of hosts."""
    headers = {names.MAX_RETRIES: str(retries), names.DECISION_ID: "d-1"}
    return lambda _: SimpleNamespace(
        cluster=cluster,
        hosts=hosts,
        headers=headers,
        metadata={names.DECISION_NAMESPACE: metadata},
        refusal=None,
    )


def failing(status: int = 503) -> Answer:
    """Answer with an error, as a vLLM server whose queue is full."""

    async def answer(request: web.Request) -> web.StreamResponse:
        return web.json_response({"error": {"message": "full"}}, status=status)

    return answer


def events(*lines: str) -> Answer:
    """Answer with server-sent events."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        for line in lines:
            await response.write(f"data: {line}\n\n".encode())
        await response.write_eof()
        return response

    return answer


async def log_entries(
    gateway: Any, answer: SimpleNamespace, log: str = names.REQUEST_LOG, count: int = 1
) -> Any:
    """Wait for the access-log entries of one request."""

    def found() -> list[Any]:
        request_id = answer.headers[names.REQUEST_ID]
        return [item for item in gateway.stub.entries(log) if item.request.request_id == request_id]

    await gateway.until(lambda: len(found()) >= count, f"{count} entries in {log}")
    return found()


def metadata_of(entry: Any, namespace: str) -> dict[str, Any]:
    """Read one namespace of an entry's dynamic metadata."""
    found = entry.common_properties.metadata.filter_metadata.get(namespace)
    return {} if found is None else found.to_dict()


def with_instances(settings: Settings, cluster: str, *instances: dict[str, Any]) -> Settings:
    """Change the instances of one cluster."""
    tree = settings.model_dump()
    for item in tree["clusters"]:
        if item["name"] == cluster:
            item["instances"] = instances
    return Settings.model_validate(tree)


async def until_counter(gateway: Any, name: str, value: int) -> None:
    """Wait at most three seconds until one of Envoy's gauges has a value."""
    for _ in range(60):
        if (await gateway.counters(name.replace(".", "[.]") + "$")).get(name) == value:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"{name} is not {value}: {await gateway.counters(name)}")
