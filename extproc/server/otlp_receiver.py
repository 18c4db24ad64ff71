"""Receives OTLP traces on the service's own gRPC server and keeps them, unparsed, in a trace store."""

from __future__ import annotations

from collections.abc import Callable

import grpc
import grpc.aio

from extproc.telemetry.otlp import EXPORT_METHOD
from extproc.telemetry.trace_store import TraceStore

_EMPTY_RESPONSE = b""
"""A serialised `ExportTraceServiceResponse` without `partial_success`: everything was accepted."""


def otlp_handler(store: TraceStore, clock_unix_ns: Callable[[], int]) -> grpc.GenericRpcHandler[bytes, bytes]:
    """Return the handler of `TraceService/Export`, for `grpc.aio.Server.add_generic_rpc_handlers`.

    No deserializer: Envoy exports at the rate of requests, and nearly no trace is ever looked at.
    """

    async def export(request: bytes, _context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        store.add(request, clock_unix_ns())
        return _EMPTY_RESPONSE

    service, method = EXPORT_METHOD.removeprefix("/").split("/")
    return grpc.method_handlers_generic_handler(
        service, {method: grpc.unary_unary_rpc_method_handler(export)}
    )
