"""A client that costs next to nothing: HTTP/1.1 on kept-alive sockets, closed or open loop."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Self, cast

from loadgen.bench.upstream import content_length

REQUEST_TIMEOUT_SECONDS = 20.0


@dataclass(slots=True)
class LoadResult:
    """What a round of load saw.

    Attributes:
        latencies_seconds: Of the requests that were answered 200; in an open loop from the intended start on.
        failures: Other outcomes by name, with their number.
    """

    latencies_seconds: list[float] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Request:
    """Head lines without the traceparent and the blank line, and the body."""

    head: bytes
    body: bytes


class Connection(asyncio.Protocol):
    """One kept-alive connection with at most one request under way."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._expected = -1
        self._status = b""
        self._answer: asyncio.Future[str] | None = None
        self._transport: asyncio.Transport | None = None

    @classmethod
    async def open(cls, host: str, port: int) -> Self:
        """Connect.

        Raises:
            OSError: Nobody listens.
        """
        _, protocol = await asyncio.get_running_loop().create_connection(cls, host, port)
        return protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way out."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's class is none by inheritance

    def connection_lost(self, _error: Exception | None) -> None:
        """End the request under way."""
        self._transport = None
        self._finish("connection lost")

    def data_received(self, data: bytes) -> None:
        """Collect the answer; its end ends the request."""
        self._received += data
        if self._expected < 0:
            end = self._received.find(b"\r\n\r\n")
            if end < 0:
                return
            head = bytes(self._received[:end])
            self._status = head[9:12]
            self._expected = end + 4 + content_length(head)
        if len(self._received) >= self._expected:
            self._received.clear()
            self._expected = -1
            self._finish("" if self._status == b"200" else f"status {self._status.decode(errors='replace')}")

    async def exchange(self, request: Request, traceparent: str | None) -> str:
        """Send a request and wait for its answer; empty when it was 200, else what went wrong."""
        if self._transport is None:
            return "connection lost"
        self._answer = asyncio.get_running_loop().create_future()
        trace = f"traceparent: {traceparent}\r\n\r\n".encode() if traceparent else b"\r\n"
        self._transport.writelines((request.head + trace, request.body))
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT_SECONDS):
                return await self._answer
        except TimeoutError:
            self.close()
            return "timeout"

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.abort()

    def _finish(self, outcome: str) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(outcome)


class LoadClient:
    """Sends requests to one gateway.

    Args:
        connections: Open connections; in a closed loop each sends its next request when the last one is answered.
        traceparent: Makes the header of one request; None to send none.
    """

    def __init__(self, connections: Sequence[Connection], traceparent: Callable[[], str | None]) -> None:
        self._connections = connections
        self._traceparent = traceparent

    async def closed_loop(self, requests: Sequence[Request], count: int) -> LoadResult:
        """Send `count` requests, as many at once as there are connections."""
        result = LoadResult()
        turns = iter(range(count))

        async def keep_busy(connection: Connection) -> None:
            for turn in turns:
                await self._one(connection, requests[turn % len(requests)], result, time.perf_counter())

        await asyncio.gather(*(keep_busy(connection) for connection in self._connections))
        return result

    async def open_loop(
        self, requests: Sequence[Request], count: int, *, per_second: float, seed: int
    ) -> LoadResult:
        """Send `count` requests at exponential intervals that do not wait for answers."""
        result = LoadResult()
        rng = random.Random(seed)
        idle: asyncio.Queue[Connection] = asyncio.Queue()
        for connection in self._connections:
            idle.put_nowait(connection)

        async def send(turn: int, intended: float) -> None:
            connection = await idle.get()
            await self._one(connection, requests[turn % len(requests)], result, intended)
            idle.put_nowait(connection)

        due = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for turn in range(count):
                due += rng.expovariate(per_second)
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                group.create_task(send(turn, due))
        return result

    async def _one(
        self, connection: Connection, request: Request, result: LoadResult, started: float
    ) -> None:
        failure = await connection.exchange(request, self._traceparent())
        if failure:
            result.failures[failure] += 1
        else:
            result.latencies_seconds.append(time.perf_counter() - started)


def chat_request(body: bytes) -> Request:
    """Frame a chat body for HTTP/1.1."""
    head = (
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n"
        b"content-length: %d\r\nuser-agent: bench\r\naccept: */*\r\n" % len(body)
    )
    return Request(head, body)


def sampled_traceparents(seed: int) -> Callable[[], str]:
    """Traces whose caller asks for them to be recorded; each call gives a new one."""
    rng = random.Random(seed)
    return lambda: f"00-{rng.getrandbits(128) | 1:032x}-{rng.getrandbits(64) | 1:016x}-01"


@asynccontextmanager
async def connected(address: str, count: int) -> AsyncIterator[tuple[Connection, ...]]:
    """Open `count` connections, and close them in the end.

    Raises:
        OSError: Nobody listens.
    """
    host, _, port = address.rpartition(":")
    opened = [await Connection.open(host, int(port)) for _ in range(count)]
    try:
        yield tuple(opened)
    finally:
        for connection in opened:
            connection.close()
