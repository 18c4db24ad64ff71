from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from extproc.fleet.vllm_metrics import parse_metrics
from loadgen.bench.client import Connection, LoadClient, chat_request, connected, sampled_traceparents
from loadgen.bench.upstream import Responder, content_length, metrics_page


@asynccontextmanager
async def serving(protocol: Callable[[], asyncio.Protocol]) -> AsyncIterator[str]:
    """Address of a server that speaks `protocol`."""
    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await server.wait_closed()


class Scripted(asyncio.Protocol):
    """Answers whatever comes with a fixed text, or hangs up when there is none; keeps what came."""

    def __init__(self, answer: bytes, heard: bytearray) -> None:
        self.answer = answer
        self.heard = heard

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.heard += data
        if self.answer:
            self.transport.write(self.answer)
        else:
            self.transport.abort()


def untraced() -> None:
    """No traceparent."""


async def test_a_closed_loop_sends_exactly_what_was_asked() -> None:
    """Every request is answered and timed, small bodies and large ones, however many connections there are."""
    bodies = [chat_request(b"x" * 10), chat_request(b"y" * 300_000)]
    async with serving(lambda: Responder(b"")) as address, connected(address, 3) as connections:
        result = await LoadClient(connections, untraced).closed_loop(bodies, 20)

    assert (20, {}) == (len(result.latencies_seconds), dict(result.failures))
    assert min(result.latencies_seconds) > 0


async def test_an_open_loop_sends_on_schedule() -> None:
    """Arrivals do not wait for answers; each is answered and timed."""
    async with serving(lambda: Responder(b"")) as address, connected(address, 4) as connections:
        client = LoadClient(connections, untraced)
        result = await client.open_loop([chat_request(b"x")], 15, per_second=300.0, seed=1)

    assert (15, {}) == (len(result.latencies_seconds), dict(result.failures))


async def test_other_answers_count_as_failures_by_their_status() -> None:
    """A 503 is no success, and does not end the round."""
    answer = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 4\r\n\r\nbusy"
    async with (
        serving(lambda: Scripted(answer, bytearray())) as address,
        connected(address, 1) as connections,
    ):
        result = await LoadClient(connections, untraced).closed_loop([chat_request(b"x")], 3)

    assert ([], {"status 503": 3}) == (result.latencies_seconds, dict(result.failures))


async def test_a_connection_that_breaks_fails_its_requests() -> None:
    """What was under way and what would have followed on the connection both count as failures."""
    async with serving(lambda: Scripted(b"", bytearray())) as address, connected(address, 1) as connections:
        result = await LoadClient(connections, untraced).closed_loop([chat_request(b"x")], 2)

    assert {"connection lost": 2} == dict(result.failures)


async def test_requests_carry_a_traceparent_of_their_own_when_traced() -> None:
    """Each sampled request begins a trace; the others send no such header."""
    heard = bytearray()
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
    async with serving(lambda: Scripted(answer, heard)) as address, connected(address, 1) as connections:
        await LoadClient(connections, sampled_traceparents(1)).closed_loop([chat_request(b"x")], 2)
        traced = bytes(heard)
        heard.clear()
        await LoadClient(connections, untraced).closed_loop([chat_request(b"x")], 1)

    traces = [line for line in traced.split(b"\r\n") if line.startswith(b"traceparent: 00-")]
    assert 2 == len(set(traces))
    assert all(line.endswith(b"-01") for line in traces)
    assert b"traceparent" not in heard


async def test_the_stand_in_answers_with_usage_whatever_way_a_body_comes_in() -> None:
    """A body that trickles in after its head is counted and answered once, with four bytes to a token."""
    async with serving(lambda: Responder(b"")) as address:
        host, _, port = address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        for part in (b"POST /v1/x HTTP/1.1\r\nContent-Le", b"ngth: 40\r\n\r\n", b"a" * 15, b"a" * 25):
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0.01)
        head = await reader.readuntil(b"\r\n\r\n")
        body = await reader.readexactly(content_length(head))
        writer.close()

    assert b'"prompt_tokens":10,' in body


def test_the_stand_ins_metrics_are_those_of_an_idle_server() -> None:
    """The page is one that the service can read."""
    metrics = parse_metrics(metrics_page())

    assert (0.0, 0.0, 0.0) == (metrics.running, metrics.waiting, metrics.kv_usage)
    assert metrics.kv_capacity_tokens


async def test_connections_are_closed_in_the_end() -> None:
    """What was opened for a round does not stay open."""
    async with serving(lambda: Responder(b"")) as address:
        async with connected(address, 2) as connections:
            opened: tuple[Connection, ...] = connections
        await asyncio.sleep(0.01)

        assert ["connection lost"] * 2 == [
            await connection.exchange(chat_request(b"x"), None) for connection in opened
        ]
