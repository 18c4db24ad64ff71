from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans, Span
from opentelemetry.sdk.resources import Resource

from extproc.telemetry.otlp import BatchEnvelope, add_span, set_attribute
from extproc.telemetry.trace_context import TraceContext

PARENT = TraceContext(b"t" * 16, b"p" * 8)


def _fragment(*names: str) -> bytes:
    scope_spans = ScopeSpans()
    for name in names:
        add_span(
            scope_spans,
            parent=PARENT,
            span_id=b"s" * 8,
            name=name,
            kind=Span.SPAN_KIND_INTERNAL,
            start_unix_ns=5,
            end_unix_ns=9,
        )
    return scope_spans.SerializeToString()


@given(st.lists(st.lists(st.text(max_size=200), max_size=4), max_size=5))
def test_joined_fragments_are_one_export_request(groups: list[list[str]]) -> None:
    """Fragments joined as bytes read as one request that holds all spans in order, with resource and scope."""
    envelope = BatchEnvelope({"service.name": "router"}, scope_name="extproc", scope_version="1.2")

    request = ExportTraceServiceRequest.FromString(envelope.wrap([_fragment(*names) for names in groups]))

    (resource_spans,) = request.resource_spans
    (scope_spans,) = resource_spans.scope_spans
    assert "router" == resource_spans.resource.attributes[0].value.string_value
    assert ("extproc", "1.2") == (scope_spans.scope.name, scope_spans.scope.version)
    assert [name for names in groups for name in names] == [span.name for span in scope_spans.spans]


def test_the_sdks_resource_is_taken_whole() -> None:
    """A resource made by the SDK, environment included, arrives with all its attributes."""
    resource = Resource.create({"service.name": "router", "ttca.answer": 42})

    envelope = BatchEnvelope(resource.attributes, scope_name="s", scope_version="")

    request = ExportTraceServiceRequest.FromString(envelope.wrap([]))
    attributes = {entry.key: entry.value for entry in request.resource_spans[0].resource.attributes}
    assert set(resource.attributes) == set(attributes)
    assert 42 == attributes["ttca.answer"].int_value


def test_a_span_never_ends_before_it_starts() -> None:
    """A clock that stepped back between start and end gives a span of no length."""
    scope_spans = ScopeSpans()

    span = add_span(
        scope_spans,
        parent=PARENT,
        span_id=b"s" * 8,
        name="x",
        kind=Span.SPAN_KIND_INTERNAL,
        start_unix_ns=9,
        end_unix_ns=5,
    )

    assert 9 == span.end_time_unix_nano


def test_attribute_types_are_kept() -> None:
    """Text, truth, whole and real numbers and lists stay what they are; the unknown is left out."""
    span = Span()

    for value in ("a", True, 3, 0.5, ["x", "y"], (), None):
        set_attribute(span, "key", value)

    kinds = [attribute.value.WhichOneof("value") for attribute in span.attributes]
    assert [
        "string_value",
        "bool_value",
        "int_value",
        "double_value",
        "array_value",
        "array_value",
    ] == kinds
