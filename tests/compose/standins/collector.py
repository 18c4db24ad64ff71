"""A stand-in for Jaeger: OTLP/gRPC on port 4317, and `GET /api/traces/{id}` in Jaeger's JSON on port 16686."""

from __future__ import annotations

import asyncio
import time

import grpc.aio
from aiohttp import web

from extproc.server.otlp_receiver import otlp_handler
from extproc.telemetry.trace_store import StoredSpan, TraceStore

OTLP_ADDRESS = "0.0.0.0:4317"
QUERY_PORT = 16686


def jaeger_span(trace_id: str, span: StoredSpan) -> dict[str, object]:
    """One span as Jaeger's query API writes it; its process is named after its service."""
    reference = {"refType": "CHILD_OF", "traceID": trace_id, "spanID": span.parent_id}
    return {
        "traceID": trace_id,
        "spanID": span.span_id,
        "operationName": span.name,
        "references": [reference] if span.parent_id else [],
        "startTime": span.start_unix_ns // 1000,
        "duration": (span.end_unix_ns - span.start_unix_ns) // 1000,
        "tags": [{"key": key, "value": value} for key, value in span.attributes.items()],
        "processID": span.service,
    }


async def serve() -> None:
    """Serves until it is stopped."""
    store = TraceStore(frozenset())

    async def get_trace(request: web.Request) -> web.Response:
        trace = store.find(request.match_info["trace_id"])
        if trace is None:
            return web.json_response(
                {"data": [], "errors": [{"code": 404, "msg": "trace not found"}]}, status=404
            )
        spans = [jaeger_span(trace.trace_id, span) for span in trace.spans]
        processes = {span.service: {"serviceName": span.service} for span in trace.spans}
        data = {"traceID": trace.trace_id, "spans": spans, "processes": processes}
        return web.json_response({"data": [data]})

    receiver = grpc.aio.server()
    receiver.add_generic_rpc_handlers((otlp_handler(store, time.time_ns),))
    receiver.add_insecure_port(OTLP_ADDRESS)
    await receiver.start()
    app = web.Application()
    app.add_routes([web.get("/api/traces/{trace_id}", get_trace)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, port=QUERY_PORT).start()
    await receiver.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(serve())
