from __future__ import annotations

import asyncio
import time
from typing import Any

import orjson
import pytest
from aiohttp import web

from extproc.protocol import names
from tests.e2e.verified.scripted import (
    MAX_ANSWER_BYTES,
    MAX_BODY_BYTES,
    MODELS,
    System,
    completion,
    says,
)

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]


async def test_a_stream_is_not_held_back(system: System) -> None:
    """Its first chunk arrives while the instance has not written the second, within 50 ms of its being written."""
    release = asyncio.Event()
    written: list[float] = []

    async def stream(request: web.Request, _document: dict[str, Any]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        written.append(time.perf_counter())
        await response.write(b'data: {"choices": []}\n\n')
        await release.wait()
        await response.write(b"data: [DONE]\n\n")
        await response.write_eof()
        return response

    system.answers["u1"] = stream
    delays = []
    for _ in range(5):
        release.clear()
        async with system.post(stream=True) as response:
            first = await response.content.readany()
            delays.append(time.perf_counter() - written[-1])
            release.set()
            rest = await response.content.read()
            assert "unverified" == response.headers[names.VERDICT]
            assert "skipped.stream" == response.headers[names.VERDICT_REASON]
        assert (b'data: {"choices": []}\n\n', b"data: [DONE]\n\n") == (first, rest)

    assert min(delays) < 0.05


@pytest.mark.parametrize("size", [MAX_ANSWER_BYTES + 1000, MAX_BODY_BYTES // 2])
async def test_a_huge_answer_is_delivered_unverified(system: System, size: int) -> None:
    """Beyond the limit an answer is not held back."""
    system.answers["u1"] = says("x" * size)
    status, headers, text = await system.ask()

    assert (200, size, "unverified", "skipped.too_large") == (
        status, len(text), headers[names.VERDICT], headers[names.VERDICT_REASON],
    )  # fmt: skip


async def test_an_answer_of_unknown_size_is_delivered_unverified(system: System) -> None:
    """It could outgrow Envoy's buffer."""

    async def chunked(request: web.Request, document: dict[str, Any]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "application/json"})
        await response.prepare(request)
        await response.write(orjson.dumps(completion("wrong", document["model"])))
        await response.write_eof()
        return response

    system.answers["u1"] = chunked
    status, headers, _ = await system.ask()

    assert (200, "skipped.unknown_size") == (status, headers[names.VERDICT_REASON])


async def test_only_verified_plans_pay_for_verification(system: System) -> None:
    """A plan of one model without verification opens one stream to the service, a verified one another for each try."""

    def roles() -> list[str]:
        return sorted(role for replica in system.replicas for role in replica.roles)

    system.answers["u2"] = says("")
    system.order = ("u2", "u1")
    await system.ask(expect=None)
    assert ["attempt", "attempt", "decide"] == roles()

    system.reset()
    system.order = ("u2",)
    system.changes = {"route_cluster": "two", "is_verified": False}
    await system.ask(expect=None)
    assert ["decide"] == roles()


async def test_a_plain_plan_says_who_answered(system: System) -> None:
    """Without the ATTEMPT filter Envoy itself names model, instance and tries."""
    system.order = ("u2",)
    system.changes = {"route_cluster": "two", "is_verified": False}
    _, headers, _ = await system.ask(expect=None)

    assert ("unverified", MODELS["u2"], system.address["u2"], "1") == tuple(
        headers[name] for name in (names.VERDICT, names.MODEL_HEADER, names.INSTANCE, names.ATTEMPTS)
    )
    assert [] == system.records
