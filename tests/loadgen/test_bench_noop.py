from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import grpc.aio
import pytest

from extproc.protocol.wire import ext_proc_pb2 as wire
from loadgen.bench.noop import noop_server

TIMEOUT_SECONDS = 10.0


@pytest.fixture
async def channel(tmp_path: Path) -> AsyncIterator[grpc.aio.Channel]:
    """A channel to a running no-op service."""
    address = f"unix:{tmp_path}/noop.sock"
    server = noop_server(address)
    await server.start()
    async with grpc.aio.insecure_channel(address) as channel:
        yield channel
    await server.stop(None)


def unchanged(message: bytes) -> bytes:
    """Messages that are bytes already."""
    return message


async def test_headers_and_body_pass_untouched(channel: grpc.aio.Channel) -> None:
    """Each message is answered by an empty answer of its kind, and the stream ends after the body's."""
    process = channel.stream_stream(
        "/envoy.service.ext_proc.v3.ExternalProcessor/Process",
        request_serializer=wire.ProcessingRequest.SerializeToString,
        response_deserializer=wire.ProcessingResponse.FromString,
    )
    messages = [
        wire.ProcessingRequest(request_headers=wire.HttpHeaders()),
        wire.ProcessingRequest(request_body=wire.HttpBody(body=b"{}", end_of_stream=True)),
    ]
    answers = [answer async for answer in process(iter(messages), timeout=TIMEOUT_SECONDS)]

    assert [
        wire.ProcessingResponse(request_headers=wire.HeadersResponse()),
        wire.ProcessingResponse(request_body=wire.BodyResponse()),
    ] == answers


async def test_logs_and_spans_are_taken_unread(channel: grpc.aio.Channel) -> None:
    """Envoy can log and trace to it: whatever comes is accepted."""
    log = channel.stream_unary(
        "/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs", unchanged, unchanged
    )
    spans = channel.unary_unary(
        "/opentelemetry.proto.collector.trace.v1.TraceService/Export", unchanged, unchanged
    )

    assert b"" == await log(iter([b"one", b"two"]), timeout=TIMEOUT_SECONDS)
    assert b"" == await spans(b"anything", timeout=TIMEOUT_SECONDS)
