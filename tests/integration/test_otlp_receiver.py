from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import grpc
import grpc.aio
import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from extproc.errors import BadRequestError
from extproc.server.otlp_receiver import otlp_handler
from extproc.telemetry.otlp import BatchEnvelope
from extproc.telemetry.records import DecideRecord, Stage
from extproc.telemetry.span_export import SpanExporter
from extproc.telemetry.spans import SpanListener
from extproc.telemetry.trace_store import TraceStore, summarise


@pytest.fixture
def store() -> TraceStore:
    """A store that expects a gateway and the service."""
    return TraceStore(frozenset({"gateway", "ttca-router"}))


@pytest.fixture
async def target(store: TraceStore) -> AsyncIterator[str]:
    """A gRPC server with the receiver, on a port of its own."""
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((otlp_handler(store, time.time_ns),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"127.0.0.1:{port}"
    await server.stop(None)


async def test_the_sdks_spans_and_ours_join_in_one_trace(store: TraceStore, target: str) -> None:
    """A gateway traced by the OpenTelemetry SDK and the service's own exporter meet in one joined trace."""
    gateway = TracerProvider(resource=Resource.create({"service.name": "gateway"}))
    gateway.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=target, insecure=True)))
    tracer = gateway.get_tracer("gateway")
    carrier: dict[str, str] = {}
    with tracer.start_as_current_span("ingress"), tracer.start_as_current_span("ext_proc call"):
        TraceContextTextMapPropagator().inject(carrier)
        now = time.time_ns()
    envelope = BatchEnvelope({"service.name": "ttca-router"}, scope_name="extproc", scope_version="1")
    exporter = SpanExporter(target, envelope)
    exporter.start()
    SpanListener(exporter, RandomIdGenerator()).decided(
        DecideRecord(
            traceparent=carrier["traceparent"],
            request_id="r",
            start_unix_ns=now,
            end_unix_ns=now + 10,
            facts=None,
            plan=None,
            error=BadRequestError("no", reason="bad_json"),
            stages=(Stage("parse", now, now + 5),),
        )
    )

    assert await exporter.flush(5)
    # The SDK exports from a thread and blocks: it must not hold the loop that serves it.
    await asyncio.to_thread(gateway.shutdown)
    await exporter.close()

    (trace,) = store.latest(5)
    assert {"total": 1, "joined": 1, "spans": 4}.items() <= summarise(store).items()
    assert ["ingress", "ext_proc call", "ttca.decide", "ttca.parse"] == [span.name for span in trace.spans]
    assert ["gateway", "gateway", "ttca-router", "ttca-router"] == [span.service for span in trace.spans]


async def test_a_message_that_is_not_otlp_harms_nothing(store: TraceStore, target: str) -> None:
    """Receiving does not parse: garbage is accepted, counted by the next query, and the rest is served."""
    async with grpc.aio.insecure_channel(target) as channel:
        export = channel.unary_unary(
            "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            request_serializer=None,
            response_deserializer=None,
        )
        assert b"" == await export(b"\xff\xff")
        scope_spans = ScopeSpans()
        scope_spans.spans.add(trace_id=b"t" * 16, span_id=b"s" * 8, name="x")
        envelope = BatchEnvelope({"service.name": "gateway"}, scope_name="s", scope_version="")
        await export(envelope.wrap([scope_spans.SerializeToString()]))

    assert {"total": 1, "malformed_messages": 1}.items() <= summarise(store).items()
