"""The least that an external-processing service can do: it answers `CONTINUE` and forgets.

Same gRPC server, event loop and messages as the service, so that what remains is the price of deciding. Access-log
entries and spans are received and dropped unread. Run as `python -m loadgen.bench.noop ADDRESS`.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from typing import TypeAlias

import grpc
import grpc.aio
import uvloop
from grpc.aio import EOF, ServicerContext  # type: ignore[attr-defined] # grpc-stubs lacks EOF

from extproc.protocol.encode import CONTINUE_REQUEST_BODY, CONTINUE_REQUEST_HEADERS
from extproc.protocol.wire import ext_proc_pb2 as wire

_LARGEST_MESSAGE_BYTES = 17 * 1024 * 1024
_EMPTY_RESPONSE = b""

_Context: TypeAlias = ServicerContext[wire.ProcessingRequest, wire.ProcessingResponse]


async def process(_messages: AsyncIterator[wire.ProcessingRequest], context: _Context) -> None:
    """Let one request pass: its headers, then its body."""
    while (message := await context.read()) is not EOF:
        if message.HasField("request_body"):
            await context.write(CONTINUE_REQUEST_BODY)
            return
        await context.write(CONTINUE_REQUEST_HEADERS)
        if message.request_headers.end_of_stream:
            return


async def drop_log(messages: AsyncIterator[bytes], _context: ServicerContext[bytes, bytes]) -> bytes:
    """Receive an access log."""
    async for _ in messages:
        pass
    return _EMPTY_RESPONSE


async def drop_spans(_request: bytes, _context: ServicerContext[bytes, bytes]) -> bytes:
    """Receive spans."""
    return _EMPTY_RESPONSE


def noop_server(address: str) -> grpc.aio.Server:
    """Return the server, not started.

    Raises:
        RuntimeError: The address is taken.
    """
    server = grpc.aio.server(
        options=[
            ("grpc.max_receive_message_length", _LARGEST_MESSAGE_BYTES),
            ("grpc.max_send_message_length", _LARGEST_MESSAGE_BYTES),
            ("grpc.so_reuseport", 0),
        ]
    )
    processor = grpc.stream_stream_rpc_method_handler(
        process, wire.ProcessingRequest.FromString, wire.ProcessingResponse.SerializeToString
    )
    log, spans = (
        grpc.stream_unary_rpc_method_handler(drop_log),
        grpc.unary_unary_rpc_method_handler(drop_spans),
    )
    server.add_generic_rpc_handlers(
        (
            grpc.method_handlers_generic_handler(
                "envoy.service.ext_proc.v3.ExternalProcessor", {"Process": processor}
            ),
            grpc.method_handlers_generic_handler(
                "envoy.service.accesslog.v3.AccessLogService", {"StreamAccessLogs": log}
            ),
            grpc.method_handlers_generic_handler(
                "opentelemetry.proto.collector.trace.v1.TraceService", {"Export": spans}
            ),
        )
    )
    server.add_insecure_port(address)
    return server


async def _serve(address: str) -> None:
    server = noop_server(address)
    await server.start()
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    await ended.wait()
    await server.stop(0)


if __name__ == "__main__":
    uvloop.run(_serve(sys.argv[1]))
