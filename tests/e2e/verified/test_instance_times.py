from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import orjson
import pytest
from aiohttp import web

from extproc.calibrate.outcome import Outcome
from tests.e2e.verified.scripted import MAX_BODY_BYTES, Answer, System, completion

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

ANSWER_SECONDS = 0.2
CLIENT_SECONDS = 1.0
HEADERS = {"content-type": "application/json"}


def takes(seconds: float, *, status: int = 200) -> Answer:
    """Answer after some time."""

    async def answer(_request: web.Request, _document: dict[str, Any]) -> web.StreamResponse:
        await asyncio.sleep(seconds)
        return web.json_response(completion("right"), status=status)

    return answer


def streams(size: int, *, seconds: float = 0.0, is_broken: bool = False) -> Answer:
    """Stream this many bytes in events of a thousand, the last one after some time, or break off before it."""

    async def answer(request: web.Request, _document: dict[str, Any]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for _ in range(size // 1000 - 1):
            await response.write(b"data: " + b"x" * 992 + b"\n\n")
        await asyncio.sleep(seconds)
        if is_broken:
            assert request.transport is not None
            request.transport.abort()
            return response
        await response.write(b"data: [DONE]\n\n")
        await response.write_eof()
        return response

    return answer


def use_twins(system: System, **answers: Answer) -> None:
    """Plan these instances of one cluster, in this order, without verdicts."""
    system.order = tuple(answers)
    system.answers.update(answers)
    system.changes = {"route_cluster": "twins", "is_verified": False, "ability": None, **system.changes}


async def outcome_of(system: System) -> Outcome:
    """The one request's record, once Envoy has written it."""

    def found() -> list[Outcome]:
        plans = {plan for replica in system.replicas for plan in replica.plans}
        outcomes = [outcome for replica in system.replicas for outcome in replica.outcomes]
        return [one for one in outcomes if one.decision is not None and one.decision.decision_id in plans]

    await system.settle(lambda: bool(found()))
    [outcome] = found()
    return outcome


async def test_an_upload_is_the_clients_time(system: System) -> None:
    """What a client takes to send its request is in the request's time, and not in the instance's."""
    use_twins(system, t1=takes(ANSWER_SECONDS))

    async def slowly() -> AsyncIterator[bytes]:
        yield b'{"model":"auto","messages":[{"role":"user","content":"'
        await asyncio.sleep(CLIENT_SECONDS)
        yield b'hi"}]}'

    url = f"{system.url}/v1/chat/completions"
    async with system.client.post(url, data=slowly(), headers=HEADERS) as response:
        assert 200 == response.status
    outcome = await outcome_of(system)

    assert outcome.instance_seconds is not None
    assert ANSWER_SECONDS <= outcome.instance_seconds <= outcome.e2e_seconds - 0.99 * CLIENT_SECONDS


async def test_a_retried_request_tells_the_time_of_the_try_that_answered(system: System) -> None:
    """The time of a try that failed is not the next instance's."""
    use_twins(system, t1=takes(CLIENT_SECONDS, status=503), t2=takes(ANSWER_SECONDS))
    await system.ask(expect=None)
    outcome = await outcome_of(system)

    assert (system.address["t2"], 2) == (outcome.served_address, outcome.attempts)
    assert outcome.instance_seconds is not None
    assert ANSWER_SECONDS <= outcome.instance_seconds <= outcome.e2e_seconds - 0.99 * CLIENT_SECONDS


@pytest.mark.parametrize("winner", ["t1", "t2"])
async def test_a_raced_request_tells_the_time_of_the_winner(system: System, winner: str) -> None:
    """Whoever wins, the instance's time begins with its own try."""
    late, never = CLIENT_SECONDS, 10.0
    system.changes = {"hedges": True, "per_try_timeout_seconds": late / 2}
    use_twins(
        system,
        t1=takes(late if winner == "t1" else never),
        t2=takes(ANSWER_SECONDS if winner == "t2" else never),
    )
    await system.ask(expect=None)
    outcome = await outcome_of(system)

    assert (system.address[winner], 2) == (outcome.served_address, outcome.attempts)
    assert outcome.instance_seconds is not None
    assert (winner == "t1") == (outcome.instance_seconds >= late)
    assert (winner == "t2") == (outcome.instance_seconds <= outcome.e2e_seconds - 0.99 * late / 2)


async def test_a_stream_lasts_until_its_last_event(system: System) -> None:
    """The instance's time of a stream is that of the whole stream, not of its headers."""
    use_twins(system, t1=streams(2000, seconds=ANSWER_SECONDS))
    async with system.post(expect=None, stream=True) as response:
        await response.read()
    outcome = await outcome_of(system)

    assert outcome.instance_seconds is not None
    assert outcome.ttft_seconds is not None
    assert outcome.instance_seconds >= ANSWER_SECONDS
    assert outcome.ttft_seconds <= outcome.e2e_seconds - 0.99 * ANSWER_SECONDS


async def test_a_stream_that_breaks_off_tells_no_time(system: System) -> None:
    """How long the whole answer would have taken is not known."""
    use_twins(system, t1=streams(2000, is_broken=True))
    async with system.post(expect=None, stream=True) as response:
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()
    outcome = await outcome_of(system)

    assert (200, None) == (outcome.status, outcome.instance_seconds)
    assert outcome.flags


async def read_late(system: System, seconds: float) -> int:
    """Ask, and read nothing for some time; the number of bytes that came."""
    loop = asyncio.get_running_loop()
    body = orjson.dumps({"model": "auto", "messages": [{"role": "user", "content": "hi"}], "stream": True})
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    with socket.socket() as client:
        # The system's own buffers are to be small against Envoy's.
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)
        await loop.sock_connect(client, ("127.0.0.1", system.ports["listen"]))
        await loop.sock_sendall(client, head.encode() + body)
        await asyncio.sleep(seconds)
        received = 0
        while data := await loop.sock_recv(client, 1 << 20):
            received += len(data)
    return received


async def test_an_answer_that_waits_for_its_reader_tells_no_time(system: System) -> None:
    """An answer beyond Envoy's buffer comes as fast as the client reads, so the instance's own time is not known."""
    size = 8 * MAX_BODY_BYTES
    use_twins(system, t1=streams(size))

    assert await read_late(system, CLIENT_SECONDS) > 0.99 * size
    outcome = await outcome_of(system)
    assert (200, None) == (outcome.status, outcome.instance_seconds)
    assert outcome.e2e_seconds >= 0.9 * CLIENT_SECONDS


async def test_an_answer_that_fits_does_not_wait_for_its_reader(system: System) -> None:
    """An answer that Envoy takes whole is the instance's time alone, whenever the client reads it."""
    size = MAX_BODY_BYTES // 2
    use_twins(system, t1=streams(size))

    assert await read_late(system, CLIENT_SECONDS) > 0.99 * size
    outcome = await outcome_of(system)
    assert outcome.instance_seconds is not None
    assert outcome.instance_seconds < CLIENT_SECONDS
