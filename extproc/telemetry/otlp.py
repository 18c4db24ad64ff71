"""OTLP on the wire: builds spans as protobuf and joins finished ones into export requests without copying them apart.

Knows the messages of `opentelemetry.proto`; knows nothing of what the spans mean, and does no I/O.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans, Span

from extproc.telemetry.trace_context import TraceContext

EXPORT_METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"

AttributeValue = str | bool | int | float | Sequence[str]

_SAMPLED_FLAG = 1

# Tags of length-delimited fields: (field number << 3) | 2.
_RESOURCE_SPANS_TAG = b"\x0a"  # ExportTraceServiceRequest.resource_spans = 1
_RESOURCE_TAG = b"\x0a"  # ResourceSpans.resource = 1
_SCOPE_SPANS_TAG = b"\x12"  # ResourceSpans.scope_spans = 2


class SpanSink(Protocol):
    """Takes finished spans; must not block and must not raise."""

    def offer(self, scope_spans: bytes, span_count: int) -> None:
        """Take a serialised `ScopeSpans` that holds spans and nothing else."""


def add_span(
    scope_spans: ScopeSpans,
    *,
    parent: TraceContext,
    span_id: bytes,
    name: str,
    kind: Span.SpanKind.ValueType,
    start_unix_ns: int,
    end_unix_ns: int,
) -> Span:
    """Append a span, child of `parent`, and return it for attributes and status."""
    return scope_spans.spans.add(
        trace_id=parent.trace_id,
        span_id=span_id,
        parent_span_id=parent.span_id,
        name=name,
        kind=kind,
        start_time_unix_nano=start_unix_ns,
        end_time_unix_nano=max(start_unix_ns, end_unix_ns),
        flags=_SAMPLED_FLAG,
    )


def set_attribute(target: Span | Span.Event | Resource, key: str, value: AttributeValue | None) -> None:
    """Append one attribute; None is left out, so that an unknown figure is never read as zero."""
    if value is None:
        return
    entry = target.attributes.add()
    entry.key = key
    _fill(entry.value, value)


def _fill(slot: AnyValue, value: AttributeValue) -> None:
    if isinstance(value, str):
        slot.string_value = value
    elif isinstance(value, bool):
        slot.bool_value = value
    elif isinstance(value, int):
        slot.int_value = value
    elif isinstance(value, float):
        slot.double_value = value
    else:
        slot.array_value.SetInParent()
        for item in value:
            slot.array_value.values.add().string_value = item


class BatchEnvelope:
    """What all batches of one process share: its resource and scope, serialised once.

    Attributes:
        overhead_bytes: What an export request needs besides the spans, at most.
    """

    def __init__(self, resource: Mapping[str, object], *, scope_name: str, scope_version: str) -> None:
        message = Resource()
        for key, value in resource.items():
            set_attribute(message, key, value if isinstance(value, str | bool | int | float) else str(value))
        self._resource = _delimited(_RESOURCE_TAG, message.SerializeToString())
        scope = InstrumentationScope(name=scope_name, version=scope_version)
        self._scope = ScopeSpans(scope=scope).SerializeToString()
        self.overhead_bytes = len(self._resource) + len(self._scope) + 16

    def wrap(self, fragments: Sequence[bytes]) -> bytes:
        """Return a serialised `ExportTraceServiceRequest` that holds the spans of all fragments.

        Concatenating serialised messages merges them, repeated fields by appending
        (https://protobuf.dev/programming-guides/encoding/#last-one-wins), so no fragment is parsed again.
        """
        scope_spans = _delimited(_SCOPE_SPANS_TAG, b"".join((self._scope, *fragments)))
        return _delimited(_RESOURCE_SPANS_TAG, self._resource + scope_spans)


def _delimited(tag: bytes, payload: bytes) -> bytes:
    return tag + _varint(len(payload)) + payload


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
