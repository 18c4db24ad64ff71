"""Ships finished spans to an OTLP collector over grpc.aio: in batches, from a bounded queue, never in a caller's way.

A collector that is away costs one warning and, once the queue is full, the newest spans; it never costs a request.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from dataclasses import dataclass

import grpc
import grpc.aio

from extproc.telemetry.otlp import EXPORT_METHOD, BatchEnvelope

_LOGGER = logging.getLogger(__name__)

_RETRYABLE_CODES = frozenset(
    {
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    }
)
"""All other codes mean that the batch will never be accepted: https://opentelemetry.io/docs/specs/otlp/#failures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportPolicy:
    """Limits of an exporter.

    Attributes:
        queue_bytes: Most bytes of spans that wait; what comes beyond is dropped and counted.
        batch_bytes: Most bytes of spans in one export, unless a single fragment is larger.
        interval_seconds: Longest wait before a started batch is sent.
        timeout_seconds: For one export.
        backoff_seconds: Wait after the first failed export; doubles with each further one.
        backoff_limit_seconds: Longest wait between exports.
    """

    queue_bytes: int = 8 << 20
    batch_bytes: int = 256 << 10
    interval_seconds: float = 0.5
    timeout_seconds: float = 5.0
    backoff_seconds: float = 0.5
    backoff_limit_seconds: float = 30.0


class SpanExporter:
    """A `SpanSink` that exports from a background task; `start` and `close` belong to the running event loop.

    Attributes:
        exported_spans: Spans that the collector accepted.
        dropped_spans: Spans that were lost: queue full, refused for good, or unsent when closed.
    """

    def __init__(
        self,
        target: str,
        envelope: BatchEnvelope,
        *,
        policy: ExportPolicy | None = None,
        credentials: grpc.ChannelCredentials | None = None,
    ) -> None:
        self._target = target
        self._envelope = envelope
        self._policy = policy or ExportPolicy()
        self._credentials = credentials
        self._queue: deque[tuple[bytes, int]] = deque()
        self._queued_bytes = 0
        self._batch_ready = asyncio.Event()
        self._drained = asyncio.Event()
        self._drained.set()
        self._task: asyncio.Task[None] | None = None
        self._is_closing = False
        self._failures = 0
        self.exported_spans = 0
        self.dropped_spans = 0

    def offer(self, scope_spans: bytes, span_count: int) -> None:
        """Queue spans, or drop and count them when the queue is full or the exporter is closing."""
        if self._is_closing or self._queued_bytes + len(scope_spans) > self._policy.queue_bytes:
            self.dropped_spans += span_count
            return
        self._queue.append((scope_spans, span_count))
        self._queued_bytes += len(scope_spans)
        self._drained.clear()
        if self._queued_bytes >= self._policy.batch_bytes:
            self._batch_ready.set()

    def start(self) -> None:
        """Begin exporting on the running event loop."""
        self._task = asyncio.create_task(self._run(), name="span-exporter")

    async def flush(self, timeout_seconds: float) -> bool:
        """Wait until everything queued so far and meanwhile is exported or dropped; False when time ran out."""
        self._batch_ready.set()
        try:
            await asyncio.wait_for(self._drained.wait(), timeout_seconds)
        except TimeoutError:
            return False
        return True

    async def close(self, timeout_seconds: float = 2.0) -> None:
        """Take no more spans, export what is queued within the time limit, and count the rest as dropped."""
        self._is_closing = True
        if self._task is None:
            return
        await self.flush(timeout_seconds)
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        self._task = None
        self.dropped_spans += sum(count for _, count in self._queue)
        self._queue.clear()
        self._queued_bytes = 0

    async def _run(self) -> None:
        async with self._channel() as channel:
            export = channel.unary_unary(EXPORT_METHOD, request_serializer=None, response_deserializer=None)
            while True:
                await self._wait_for_batch()
                while self._queue:
                    await self._export_one_batch(export)
                self._drained.set()

    async def _wait_for_batch(self) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._batch_ready.wait(), self._policy.interval_seconds)
        self._batch_ready.clear()

    async def _export_one_batch(self, export: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]) -> None:
        fragments, span_count = self._next_batch()
        try:
            await export(self._envelope.wrap(fragments), timeout=self._policy.timeout_seconds)
        except grpc.aio.AioRpcError as error:
            self._note_failure(error)
            if error.code() in _RETRYABLE_CODES:
                await asyncio.sleep(self._backoff_seconds())
            else:
                self._forget(len(fragments))
                self.dropped_spans += span_count
        else:
            self._forget(len(fragments))
            self.exported_spans += span_count
            self._note_success()

    def _next_batch(self) -> tuple[list[bytes], int]:
        """Return the oldest fragments up to the batch limit, at least one; they stay queued until `_forget`."""
        fragments: list[bytes] = []
        size = spans = 0
        for fragment, span_count in self._queue:
            if fragments and size + len(fragment) > self._policy.batch_bytes:
                break
            fragments.append(fragment)
            size += len(fragment)
            spans += span_count
        return fragments, spans

    def _forget(self, fragment_count: int) -> None:
        for _ in range(fragment_count):
            fragment, _ = self._queue.popleft()
            self._queued_bytes -= len(fragment)

    def _backoff_seconds(self) -> float:
        exponent = min(self._failures - 1, 16)
        return min(self._policy.backoff_seconds * 2.0**exponent, self._policy.backoff_limit_seconds)

    def _note_failure(self, error: grpc.aio.AioRpcError) -> None:
        self._failures += 1
        if self._failures == 1:
            _LOGGER.warning(
                "spans cannot be exported to %s (%s: %s); retrying quietly, requests are not affected",
                self._target,
                error.code().name,
                error.details(),
            )

    def _note_success(self) -> None:
        if self._failures:
            _LOGGER.info("spans are exported to %s again", self._target)
        self._failures = 0

    def _channel(self) -> grpc.aio.Channel:
        # gRPC waits up to two minutes between connection attempts unless told otherwise.
        options = [("grpc.max_reconnect_backoff_ms", int(self._policy.backoff_limit_seconds * 1e3))]
        if self._credentials is None:
            return grpc.aio.insecure_channel(self._target, options=options)
        return grpc.aio.secure_channel(self._target, self._credentials, options=options)
