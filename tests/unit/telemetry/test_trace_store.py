from __future__ import annotations

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from extproc.telemetry.otlp import AttributeValue, BatchEnvelope, set_attribute
from extproc.telemetry.trace_filter import TraceFilter
from extproc.telemetry.trace_store import MESSAGE_BYTES, StoredEvent, StoreSink, TraceStore, summarise

ENVOY = "envoy"
ROUTER = "ttca-router"
SERVICES = frozenset({ENVOY, ROUTER})


def an_export(service: str, *spans: Span) -> bytes:
    """Serialise an export of one service."""
    request = ExportTraceServiceRequest()
    resource_spans = request.resource_spans.add()
    set_attribute(resource_spans.resource, "service.name", service)
    resource_spans.scope_spans.add().spans.extend(spans)
    return request.SerializeToString()


def a_span(trace: int, span: int, parent: int = 0, *, start: int = 100, name: str = "x") -> Span:
    """Build a span from small numbers; parent 0 is none."""
    return Span(
        trace_id=trace.to_bytes(16, "big"),
        span_id=span.to_bytes(8, "big"),
        parent_span_id=parent.to_bytes(8, "big") if parent else b"",
        name=name,
        kind=Span.SPAN_KIND_SERVER,
        start_time_unix_nano=start,
        end_time_unix_nano=start + 10,
    )


def a_store(**limits: int) -> TraceStore:
    """Build a store that expects Envoy and the router."""
    return TraceStore(SERVICES, **limits)


def test_spans_of_both_services_join() -> None:
    """Spans that came in different exports, in any order, form one joined trace."""
    store = a_store()
    store.add(an_export(ROUTER, a_span(7, 3, parent=2, start=120)), now_unix_ns=1)
    store.add(an_export(ENVOY, a_span(7, 2, parent=1, start=110), a_span(7, 1)), now_unix_ns=2)

    (trace,) = store.latest(10)

    assert trace.is_joined
    assert f"{7:032x}" == trace.trace_id
    assert [(ENVOY, ""), (ENVOY, f"{1:016x}"), (ROUTER, f"{2:016x}")] == [
        (span.service, span.parent_id) for span in trace.spans
    ]


def test_the_clients_own_span_may_be_elsewhere() -> None:
    """A trace that continues the client's is joined although the client's span is unknown."""
    store = a_store()
    store.add(an_export(ENVOY, a_span(7, 1, parent=99)), now_unix_ns=1)
    store.add(an_export(ROUTER, a_span(7, 2, parent=1), a_span(7, 3, parent=99)), now_unix_ns=1)

    assert store.latest(1)[0].is_joined


def test_half_a_trace_is_not_joined() -> None:
    """One service alone, a missing link, a second root and a circle each make a trace that is not joined."""
    store = a_store()
    store.add(an_export(ENVOY, a_span(1, 1)), now_unix_ns=1)
    for number, spans in enumerate(
        (
            [a_span(2, 3, parent=2)],
            [a_span(3, 3)],
            [a_span(4, 3, parent=4), a_span(4, 4, parent=3)],
            [a_span(5, 3, parent=3)],
        ),
        start=2,
    ):
        store.add(an_export(ENVOY, a_span(number, 1)), now_unix_ns=1)
        store.add(an_export(ROUTER, *spans), now_unix_ns=1)

    assert [False] * 5 == [trace.is_joined for trace in store.latest(10)]
    assert (5, 0) == (summarise(store)["total"], summarise(store)["joined"])


def test_late_spans_complete_a_trace() -> None:
    """A trace is joined as soon as its last spans have come."""
    store = a_store()
    store.add(an_export(ROUTER, a_span(7, 2, parent=1)), now_unix_ns=1)
    before = summarise(store)["joined"]
    store.add(an_export(ENVOY, a_span(7, 1)), now_unix_ns=2)

    assert (0, 1) == (before, summarise(store)["joined"])


def test_latest_are_the_last_to_start_oldest_first() -> None:
    """The latest traces by start come in order of time, however they were received."""
    store = a_store()
    for trace, start in ((1, 300), (2, 100), (3, 200)):
        store.add(an_export(ENVOY, a_span(trace, 1, start=start)), now_unix_ns=1)

    assert [3, 1] == [int(trace.trace_id, 16) for trace in store.latest(2)]
    assert () == store.latest(0)


def test_a_repeated_export_counts_once() -> None:
    """A span that an exporter sent twice is one span."""
    store = a_store()
    for _ in range(2):
        store.add(an_export(ENVOY, a_span(7, 1)), now_unix_ns=1)

    assert 1 == summarise(store)["spans"]


def test_memory_is_bounded_and_no_trace_is_cut() -> None:
    """The oldest exports make room, and traces that they may have belonged to are no longer shown."""
    old, cut, new = (a_span(1, 1, start=100), a_span(2, 1, start=140), a_span(3, 1, start=900))
    size = len(an_export(ENVOY, old)) + MESSAGE_BYTES
    store = a_store(max_bytes=2 * size)
    store.add(an_export(ENVOY, old), now_unix_ns=150)
    store.add(an_export(ENVOY, cut), now_unix_ns=160)
    store.add(an_export(ENVOY, new), now_unix_ns=950)

    assert [3] == [int(trace.trace_id, 16) for trace in store.latest(10)]
    assert 1 == summarise(store)["dropped_messages"]


def test_an_export_larger_than_the_store_is_dropped() -> None:
    """An export that can never fit leaves the store empty and is counted."""
    store = a_store(max_bytes=10)

    store.add(an_export(ENVOY, a_span(1, 1)), now_unix_ns=1)

    assert (0, 1) == (summarise(store)["total"], summarise(store)["dropped_messages"])


@pytest.mark.parametrize("export", [b"", b"\n\x00"])
def test_exports_without_spans_take_their_room_too(export: bytes) -> None:
    """Keeping a message takes memory beside its bytes, so that ever so many small ones are bounded as well."""
    store = a_store(max_bytes=10_000)
    for _ in range(1000):
        store.add(export, now_unix_ns=1)

    assert summarise(store)["dropped_messages"] >= 900


def test_spans_per_trace_are_bounded() -> None:
    """A trace shows its first spans and says how many it leaves out."""
    store = a_store(max_spans_per_trace=3)
    store.add(an_export(ENVOY, *(a_span(1, number, start=number) for number in range(1, 9))), now_unix_ns=1)

    (trace,) = store.latest(1)

    assert (3, 5) == (len(trace.spans), trace.omitted_spans)


def test_garbage_is_counted() -> None:
    """A message that is not OTLP is counted and harms nothing."""
    store = a_store()
    store.add(b"\xff\xff\xff", now_unix_ns=1)
    store.add(an_export(ENVOY, a_span(1, 1)), now_unix_ns=1)

    assert (1, 1) == (summarise(store)["total"], summarise(store)["malformed_messages"])


def test_a_trace_is_found_by_its_id() -> None:
    """A trace is found by its id in hexadecimal, and an unknown one is not."""
    store = a_store()
    store.add(an_export(ENVOY, a_span(255, 1, name="found")), now_unix_ns=1)

    found = store.find(f"{255:032x}")

    assert found is not None
    assert "found" == found.spans[0].name
    assert store.find(f"{1:032x}") is None


def test_a_span_is_read_whole() -> None:
    """Kind, status, events and attributes of every type are kept."""
    span = a_span(1, 1)
    span.status.code = Status.STATUS_CODE_ERROR
    span.status.message = "broken"
    values: dict[str, AttributeValue] = {
        "text": "a",
        "truth": True,
        "whole": 3,
        "real": 0.5,
        "list": ["x", "y"],
    }
    for key, value in values.items():
        set_attribute(span, key, value)
    span.attributes.add(key="bytes").value.bytes_value = b"?"
    set_attribute(span.events.add(name="happened", time_unix_nano=7), "why", "because")
    store = a_store()
    store.add(an_export(ENVOY, span), now_unix_ns=1)

    stored = store.latest(1)[0].spans[0]

    assert ("server", True, "broken") == (stored.kind, stored.is_error, stored.status_message)
    assert {**values, "bytes": ""} == stored.attributes
    assert (StoredEvent(name="happened", unix_ns=7, attributes={"why": "because"}),) == stored.events


def test_own_spans_go_straight_into_the_store(envelope: BatchEnvelope) -> None:
    """The service's spans need no network to reach a store of the same process."""
    store = a_store()
    request = ExportTraceServiceRequest()
    scope_spans = request.resource_spans.add().scope_spans.add()
    scope_spans.spans.append(a_span(1, 1, name="mine"))

    StoreSink(store, envelope, lambda: 5).offer(scope_spans.SerializeToString(), 1)

    assert [("ttca-router", "mine")] == [(span.service, span.name) for span in store.latest(1)[0].spans]


def test_a_question_is_answered_from_all_that_is_kept() -> None:
    """The latest traces that match are returned, however many came after them, and counted."""
    store = a_store()
    for trace in range(1, 6):
        span = a_span(trace, 1, start=100 * trace)
        set_attribute(span, "http.status_code", "503" if trace in (2, 3) else "200")
        store.add(an_export(ENVOY, span), now_unix_ns=trace)

    traces, summary = store.query(1, TraceFilter(status="503"))

    assert [f"{3:032x}"] == [trace.trace_id for trace in traces]
    assert (5, 2) == (summary.total, summary.matching)
