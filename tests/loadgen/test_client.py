from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from loadgen.client import LOOK_AHEAD, Progress, TargetUnreachableError, run_load
from loadgen.schedule import ScheduledRequest

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

CHUNKS = (
    b'data: {"model":"m","choices":[{"delta":{"role":"assistant","content":""},"finish_reason":null}]}\n\n',
    b'data: {"model":"m","choices":[{"delta":{"content":"Hel"},"finish_reason":null}]}\n\n',
    b'data: {"model":"m","choices":[{"delta":{"content":"lo"},"finish_reason":"stop"}]}\n\n',
    b'data: {"model":"m","choices":[],"usage":{"prompt_tokens":12,"completion_tokens":2}}\n\n',
    b"data: [DONE]\n\n",
)


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[str]:
    """A server on a free port that answers every POST with `handler`; gives its URL."""
    app = web.Application()
    app.router.add_post("/{path:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def a_schedule(
    *starts: float, stream: bool = False, path: str = "/v1/chat/completions"
) -> list[ScheduledRequest]:
    """Requests at given seconds."""
    return [
        ScheduledRequest(start_seconds=start, path=path, body=lambda: b'{"model":"auto"}', stream=stream)
        for start in starts
    ]


async def streaming(request: web.Request, pieces: tuple[bytes, ...]) -> web.StreamResponse:
    """Answer with server-sent events, each piece written apart."""
    response = web.StreamResponse(headers={"content-type": "text/event-stream; charset=utf-8"})
    await response.prepare(request)
    for piece in pieces:
        await response.write(piece)
        await asyncio.sleep(0)
    return response


async def test_a_stream_is_recorded_whole() -> None:
    """Status, first token, events, usage, finish reason, model, size and the headers of interest are recorded."""

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(
            headers={
                "content-type": "text/event-stream",
                "x-inference-pod": "pod-1",
                "x-envoy-attempt-count": "2",
                "x-envoy-upstream-service-time": "31",
                "x-request-id": "r-1",
            }
        )
        await response.prepare(request)
        await response.write(CHUNKS[0])
        await asyncio.sleep(0.05)
        await response.write(b"".join(CHUNKS[1:]))
        return response

    async with serving(handler) as url:
        (record,) = await run_load(a_schedule(0.0, stream=True), url, timeout_seconds=5)

    assert 200 == record.status
    assert record.error is None
    assert record.ttft_seconds is not None
    # The role chunk came first and is no token.
    assert 0.05 <= record.ttft_seconds <= record.e2e_seconds
    assert 4 == record.chunks
    assert (12, 2) == (record.prompt_tokens, record.completion_tokens)
    assert ("stop", "m") == (record.finish_reason, record.answered_model)
    assert ("pod-1", 2, 0.031) == (record.instance, record.attempts, record.upstream_seconds)
    assert "r-1" == record.request_id
    assert sum(map(len, CHUNKS)) == record.bytes_received


async def test_a_stream_cut_at_any_byte_reads_the_same() -> None:
    """Where the network cuts the stream makes no difference."""
    whole = b"".join(CHUNKS)

    async def handler(request: web.Request) -> web.StreamResponse:
        return await streaming(request, tuple(whole[at : at + 7] for at in range(0, len(whole), 7)))

    async with serving(handler) as url:
        (record,) = await run_load(a_schedule(0.0, stream=True), url, timeout_seconds=5)

    assert record.error is None
    assert 4 == record.chunks
    assert 2 == record.completion_tokens
    assert record.ttft_seconds is not None


async def test_a_plain_answer_has_usage_and_no_first_token() -> None:
    """A plain answer's usage is read; it has no time to first token."""

    async def handler(request: web.Request) -> web.StreamResponse:
        assert {"model": "auto"} == await request.json()
        return web.json_response(
            {
                "model": "m",
                "choices": [{"finish_reason": "length"}],
                "usage": {"prompt_tokens": 3, "completion_tokens": 9},
            }
        )

    async with serving(handler) as url:
        (record,) = await run_load(a_schedule(0.0), url + "/", timeout_seconds=5)

    assert record.error is None
    assert (3, 9, "length") == (record.prompt_tokens, record.completion_tokens, record.finish_reason)
    assert record.ttft_seconds is None
    assert record.attempts is None


async def test_requests_leave_on_time_while_answers_are_outstanding() -> None:
    """The load is open: all requests are in flight together although none has been answered."""
    arrived = 0
    all_there = asyncio.Event()

    async def handler(_: web.Request) -> web.StreamResponse:
        nonlocal arrived
        arrived += 1
        if arrived == 20:
            all_there.set()
        await asyncio.wait_for(all_there.wait(), 5)
        return web.json_response({"model": "m"})

    async with serving(handler) as url:
        records = await run_load(a_schedule(*(n * 0.005 for n in range(20))), url, timeout_seconds=10)

    assert [None] * 20 == [record.error for record in records]
    assert list(range(20)) == [record.index for record in records]
    assert all(record.lag_seconds >= 0 for record in records)


async def test_latency_counts_from_the_intended_start() -> None:
    """A request that leaves late because its body took long to render carries that delay in its latency."""

    async def handler(_: web.Request) -> web.StreamResponse:
        return web.json_response({"model": "m"})

    def slow_body() -> bytes:
        time.sleep(0.4)
        return b"{}"

    # Bodies are rendered ahead of their time, so the slow one is further ahead than that.
    schedule = [
        *a_schedule(*([0.0] * (LOOK_AHEAD + 1))),
        ScheduledRequest(start_seconds=0.0, path="/", body=slow_body),
    ]
    async with serving(handler) as url:
        *_, record = await run_load(schedule, url, timeout_seconds=5)

    assert record.lag_seconds > 0.2
    assert record.e2e_seconds >= record.lag_seconds


@pytest.mark.parametrize(
    ("pieces", "error"),
    [
        (CHUNKS[:3], "truncated"),
        ((*CHUNKS[:2], b'data: {"error":{"message":"engine died","code":500}}\n\n', CHUNKS[-1]), "body"),
        ((b"data: {broken\n\n", CHUNKS[-1]), "body"),
    ],
)
async def test_a_broken_stream_is_an_error_in_spite_of_its_status(
    pieces: tuple[bytes, ...], error: str
) -> None:
    """A stream without its end, with an error event or with nonsense counts as failed."""

    async def handler(request: web.Request) -> web.StreamResponse:
        return await streaming(request, pieces)

    async with serving(handler) as url:
        (record,) = await run_load(a_schedule(0.0, stream=True), url, timeout_seconds=5)

    assert (200, error) == (record.status, record.error)
    assert record.error_detail


async def test_an_error_status_keeps_the_start_of_its_body() -> None:
    """The body of an error is kept, clipped, and its bytes are counted."""

    async def handler(_: web.Request) -> web.StreamResponse:
        return web.Response(status=503, text="overloaded " * 1000)

    async with serving(handler) as url:
        (record,) = await run_load(a_schedule(0.0), url, timeout_seconds=5)

    assert (503, "status") == (record.status, record.error)
    assert record.error_detail.startswith("overloaded")
    assert 2000 == len(record.error_detail)
    assert 11_000 == record.bytes_received


async def test_a_hanging_answer_times_out_and_the_others_go_on() -> None:
    """A request that is not answered in time is recorded as such and hinders nobody."""
    first = True

    async def handler(_: web.Request) -> web.StreamResponse:
        nonlocal first
        hangs, first = first, False
        if hangs:
            await asyncio.sleep(30)
        return web.json_response({"model": "m"})

    async with serving(handler) as url:
        records = await run_load(a_schedule(0.0, 0.1), url, timeout_seconds=0.5)

    assert ["timeout", None] == [record.error for record in records]
    assert "0.5 s" in records[0].error_detail


async def test_a_dropped_connection_is_a_disconnect() -> None:
    """A server that hangs up without an answer is told apart from one that was never there."""

    async def handler(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.close()
        return web.Response()

    async with serving(handler) as url:
        (record,) = await run_load(a_schedule(0.0), url, timeout_seconds=5)

    assert (None, "disconnect") == (record.status, record.error)


async def test_an_unreachable_target_is_told_at_once_and_given_up_soon() -> None:
    """The first connection failure is reported; after five of them the run ends, long before its schedule."""
    notices: list[str] = []

    def listen(progress: Progress) -> None:
        notices.append(progress.notice)

    schedule = a_schedule(*(n * 0.01 for n in range(10)), 3600.0)
    with pytest.raises(TargetUnreachableError, match="gave up after 5 requests"):
        await run_load(schedule, f"http://127.0.0.1:{free_port()}", timeout_seconds=5, on_progress=listen)

    assert "cannot reach" in notices[0]
    assert [""] * (len(notices) - 1) == notices[1:]


async def test_a_server_that_vanishes_after_answering_leaves_records() -> None:
    """Once something answered, connection failures are errors among others and the run goes on to its end."""

    async def handler(_: web.Request) -> web.StreamResponse:
        return web.json_response({"model": "m"}, headers={"connection": "close"})

    server = serving(handler)
    url = await server.__aenter__()

    def vanish(progress: Progress) -> None:
        if progress.finished == 1:
            stopping.append(asyncio.ensure_future(server.__aexit__(None, None, None)))

    stopping: list[asyncio.Future[bool | None]] = []
    records = await run_load(
        a_schedule(0.0, *(0.5 + n * 0.01 for n in range(7))), url, timeout_seconds=5, on_progress=vanish
    )
    await asyncio.gather(*stopping)

    assert [None, *["connect"] * 7] == [record.error for record in records]


async def test_progress_counts_to_the_end() -> None:
    """The last report says that everything was sent and finished."""

    async def handler(_: web.Request) -> web.StreamResponse:
        return web.json_response({"error": json.loads("null")}, status=500)

    reports: list[Progress] = []
    async with serving(handler) as url:
        await run_load(a_schedule(0.0, 0.01), url, timeout_seconds=5, on_progress=reports.append)

    assert (2, 2, 2, 2) == (reports[-1].total, reports[-1].sent, reports[-1].finished, reports[-1].errors)


async def test_bad_parameters_are_refused_before_anything_is_sent() -> None:
    """A timeout that is not positive and a schedule that runs backwards are errors."""
    with pytest.raises(ValueError, match="timeout must be positive"):
        await run_load(a_schedule(0.0), "http://127.0.0.1:1", timeout_seconds=0)
    with pytest.raises(ValueError, match="must ascend"):
        await run_load(a_schedule(1.0, 0.5), "http://127.0.0.1:1", timeout_seconds=1)
