"""The gRPC access-log service on `grpc.aio`: what Envoy tells of finished requests and tries goes to the router."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from typing import TypeAlias

import grpc
from grpc.aio import ServicerContext

from extproc.calibrate.outcome import Outcome, TryRecord
from extproc.protocol import names
from extproc.protocol.access_log import decode_outcome, decode_try, is_finished
from extproc.protocol.wire import access_log_pb2 as wire

logger = logging.getLogger(__name__)

SERVICE_NAME = "envoy.service.accesslog.v3.AccessLogService"

_Context: TypeAlias = ServicerContext[wire.StreamAccessLogsMessage, wire.StreamAccessLogsResponse]


class AccessLogService:
    """Receives Envoy's access log.

    Args:
        on_outcome: Told of each finished request.
        on_try: Told of each finished upstream try.
        on_bad_entry: Told of each entry that was skipped: it could not be read or learned from.
        buffer_bytes: What Envoy takes from an instance ahead of a client that does not read: its buffer limit.
    """

    def __init__(
        self,
        *,
        on_outcome: Callable[[Outcome], None],
        on_try: Callable[[TryRecord], None],
        on_bad_entry: Callable[[], None],
        buffer_bytes: int,
    ) -> None:
        self._on_outcome = on_outcome
        self._on_try = on_try
        self._buffer_bytes = buffer_bytes
        self._on_bad_entry = on_bad_entry

    def rpc_handler(
        self,
    ) -> grpc.GenericRpcHandler[wire.StreamAccessLogsMessage, wire.StreamAccessLogsResponse]:
        """Return what `grpc.aio.Server.add_generic_rpc_handlers` wants, under Envoy's name of the service."""
        stream = grpc.stream_unary_rpc_method_handler(
            self.stream_access_logs,
            wire.StreamAccessLogsMessage.FromString,
            wire.StreamAccessLogsResponse.SerializeToString,
        )
        return grpc.method_handlers_generic_handler(SERVICE_NAME, {"StreamAccessLogs": stream})

    async def stream_access_logs(
        self, messages: AsyncIterator[wire.StreamAccessLogsMessage], _context: _Context
    ) -> wire.StreamAccessLogsResponse:
        """Read one stream to its end; its first message names the log that all its entries belong to."""
        log_name = ""
        async for message in messages:
            if message.HasField("identifier"):
                log_name = message.identifier.log_name
            for entry in message.http_logs.log_entry:
                self._take(log_name, entry)
        return wire.StreamAccessLogsResponse()

    def _take(self, log_name: str, entry: wire.HTTPAccessLogEntry) -> None:
        try:
            if not is_finished(entry):
                return
            if log_name == names.REQUEST_LOG:
                self._on_outcome(decode_outcome(entry, buffer_bytes=self._buffer_bytes))
            elif log_name == names.ATTEMPT_LOG:
                self._on_try(decode_try(entry))
            else:
                self._on_bad_entry()
        except Exception:
            # One entry teaches little; the stream carries every other request's.
            self._on_bad_entry()
            logger.exception("skipped an entry of access log %r", log_name)
