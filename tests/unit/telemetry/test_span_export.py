from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import grpc
import grpc.aio
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans

from extproc.telemetry.otlp import BatchEnvelope
from extproc.telemetry.span_export import ExportPolicy, SpanExporter

QUICK = ExportPolicy(
    interval_seconds=0.02, backoff_seconds=0.02, backoff_limit_seconds=0.1, timeout_seconds=2.0
)


@dataclass
class Collector:
    """A collector that can be told to refuse or to hang."""

    target: str = ""
    refusals: list[grpc.StatusCode] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    batches: list[list[str]] = field(default_factory=list)

    async def export(self, request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        await self.gate.wait()
        if self.refusals:
            await context.abort(self.refusals.pop(0), "not now")
        message = ExportTraceServiceRequest.FromString(request)
        self.batches.append([span.name for span in message.resource_spans[0].scope_spans[0].spans])
        return b""

    @property
    def names(self) -> list[str]:
        return [name for batch in self.batches for name in batch]


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    """A collector on a port of its own."""
    collector = Collector()
    collector.gate.set()
    server = grpc.aio.server()
    handler = grpc.unary_unary_rpc_method_handler(collector.export)
    service = "opentelemetry.proto.collector.trace.v1.TraceService"
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {"Export": handler}),))
    collector.target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    yield collector
    collector.gate.set()
    await server.stop(None)


def a_fragment(name: str, size: int = 0) -> bytes:
    """Serialise one span of at least this size."""
    scope_spans = ScopeSpans()
    scope_spans.spans.add(name=name, trace_state="x" * size)
    return scope_spans.SerializeToString()


async def test_spans_arrive_in_order_and_in_batches(collector: Collector, envelope: BatchEnvelope) -> None:
    """Spans offered together arrive together, in order, and are counted."""
    exporter = SpanExporter(collector.target, envelope, policy=QUICK)
    for number in range(100):
        exporter.offer(a_fragment(str(number)), 1)
    exporter.start()

    assert await exporter.flush(5)

    assert [[str(number) for number in range(100)]] == collector.batches
    assert (100, 0) == (exporter.exported_spans, exporter.dropped_spans)
    await exporter.close()


async def test_batches_are_bounded(collector: Collector, envelope: BatchEnvelope) -> None:
    """No export is larger than the limit, except for a single fragment that is larger by itself."""
    policy = ExportPolicy(interval_seconds=0.02, batch_bytes=1000)
    exporter = SpanExporter(collector.target, envelope, policy=policy)
    for name, size in (("a", 400), ("b", 400), ("c", 400), ("big", 5000), ("d", 10)):
        exporter.offer(a_fragment(name, size), 1)
    exporter.start()

    assert await exporter.flush(5)

    assert [["a", "b"], ["c"], ["big"], ["d"]] == collector.batches
    await exporter.close()


async def test_full_queue_drops_and_counts(envelope: BatchEnvelope) -> None:
    """What does not fit the queue is dropped at once and counted."""
    fragment = a_fragment("x", 100)
    policy = ExportPolicy(queue_bytes=len(fragment) * 2)
    exporter = SpanExporter("127.0.0.1:1", envelope, policy=policy)

    for _ in range(5):
        exporter.offer(fragment, 7)

    assert 3 * 7 == exporter.dropped_spans


async def test_dead_collector_costs_one_warning_and_no_span(
    collector: Collector, envelope: BatchEnvelope, caplog: pytest.LogCaptureFixture
) -> None:
    """While the collector is away spans wait, with one warning; when it is back they arrive."""
    caplog.set_level(logging.INFO, logger="extproc.telemetry.span_export")
    collector.refusals = [grpc.StatusCode.UNAVAILABLE] * 3
    exporter = SpanExporter(collector.target, envelope, policy=QUICK)
    exporter.start()
    exporter.offer(a_fragment("patient"), 1)

    assert await exporter.flush(5)

    assert ["patient"] == collector.names
    assert ["WARNING", "INFO"] == [record.levelname for record in caplog.records]
    assert (1, 0) == (exporter.exported_spans, exporter.dropped_spans)
    await exporter.close()


async def test_refused_batch_is_not_sent_again(collector: Collector, envelope: BatchEnvelope) -> None:
    """A batch that the collector will never take is dropped and counted, and the next one is sent."""
    collector.refusals = [grpc.StatusCode.INVALID_ARGUMENT]
    exporter = SpanExporter(collector.target, envelope, policy=QUICK)
    exporter.start()
    exporter.offer(a_fragment("bad"), 3)
    assert await exporter.flush(5)

    exporter.offer(a_fragment("good"), 1)
    assert await exporter.flush(5)

    assert ["good"] == collector.names
    assert (1, 3) == (exporter.exported_spans, exporter.dropped_spans)
    await exporter.close()


async def test_close_exports_what_is_queued(collector: Collector, envelope: BatchEnvelope) -> None:
    """Closing exports the queue first, and takes no more spans."""
    exporter = SpanExporter(collector.target, envelope, policy=ExportPolicy(interval_seconds=60))
    exporter.start()
    exporter.offer(a_fragment("last"), 1)

    await exporter.close(5)
    exporter.offer(a_fragment("too late"), 1)

    assert ["last"] == collector.names
    assert (1, 1) == (exporter.exported_spans, exporter.dropped_spans)


async def test_close_does_not_wait_for_a_dead_collector(
    collector: Collector, envelope: BatchEnvelope
) -> None:
    """Closing ends within its time limit; what could not be sent is counted as dropped."""
    collector.gate.clear()
    exporter = SpanExporter(collector.target, envelope, policy=QUICK)
    exporter.start()
    exporter.offer(a_fragment("stuck"), 2)

    async with asyncio.timeout(5):
        await exporter.close(0.1)

    assert (0, 2) == (exporter.exported_spans, exporter.dropped_spans)
