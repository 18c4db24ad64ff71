"""Keeps the latest OTLP exports of Envoy and of the service, and joins them into traces when somebody asks.

Receiving is cheap by design: a message is kept as bytes and parsed by a query only. Memory is bounded by bytes; what
falls out takes all traces that began before it along, so that no trace is shown with spans missing for lack of room.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from extproc.telemetry.otlp import AttributeValue, BatchEnvelope
from extproc.telemetry.trace_filter import TraceFilter

_KINDS = ("unspecified", "internal", "server", "client", "producer", "consumer")
"""Names of `Span.SpanKind` by number."""

MESSAGE_BYTES = 160
"""What keeping a message takes beside its bytes: the objects around it, in CPython."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEvent:
    """Something that happened within a span, at one moment."""

    name: str
    unix_ns: int
    attributes: Mapping[str, AttributeValue]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSpan:
    """One span.

    Attributes:
        span_id: 16 hex digits.
        parent_id: 16 hex digits; empty for the root of a trace.
        service: `service.name` of whoever made it.
        kind: `server`, `client`, `internal`, `producer`, `consumer` or `unspecified`.
        is_error: True when its status says so.
        status_message: What went wrong; often empty.
        events: In the order in which they were written.
    """

    span_id: str
    parent_id: str
    service: str
    name: str
    kind: str
    start_unix_ns: int
    end_unix_ns: int
    is_error: bool
    status_message: str
    attributes: Mapping[str, AttributeValue]
    events: tuple[StoredEvent, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """All that is known of one request.

    Attributes:
        trace_id: 32 hex digits.
        spans: By start; never empty.
        is_joined: True when the spans of all expected services hang together under one root.
        omitted_spans: Spans beyond the limit per trace, which are not shown.
    """

    trace_id: str
    spans: tuple[StoredSpan, ...]
    is_joined: bool
    omitted_spans: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceSummary:
    """How many of the kept traces are whole.

    Attributes:
        total: Traces that are kept whole or still growing.
        matching: Those that were asked for; all of them when nothing special was.
        joined: Those whose spans of all expected services hang together under one root.
        spans: Spans of these traces.
        dropped_messages: Exports that fell out for lack of room, with the traces that they belonged to.
        malformed_messages: Kept exports that are not OTLP.
    """

    total: int
    matching: int
    joined: int
    spans: int
    dropped_messages: int
    malformed_messages: int


_Group = dict[bytes, tuple[str, Span]]
"""Spans of one trace by span id, each with its service."""


class TraceStore:
    """The latest exports, bounded in bytes; pure: the caller receives and tells the time.

    `services` are the `service.name`s whose spans a joined trace must have.
    """

    def __init__(
        self, services: frozenset[str], *, max_bytes: int = 64 << 20, max_spans_per_trace: int = 256
    ) -> None:
        self._max_bytes = max_bytes
        self._max_spans_per_trace = max_spans_per_trace
        self._services = services
        self._messages: deque[tuple[int, bytes]] = deque()
        self._bytes = 0
        self._dropped_messages = 0
        self._horizon_unix_ns = 0

    def add(self, export_request: bytes, now_unix_ns: int) -> None:
        """Keep one serialised `ExportTraceServiceRequest`, received now; the oldest make room for it."""
        self._messages.append((now_unix_ns, export_request))
        self._bytes += len(export_request) + MESSAGE_BYTES
        while self._bytes > self._max_bytes:
            received_unix_ns, dropped = self._messages.popleft()
            self._bytes -= len(dropped) + MESSAGE_BYTES
            self._dropped_messages += 1
            # A span in the dropped message had ended when the message came, so its trace began before.
            self._horizon_unix_ns = max(self._horizon_unix_ns, received_unix_ns)

    def latest(self, count: int) -> tuple[Trace, ...]:
        """Return the latest traces by start, oldest first, at most `count`."""
        return self.query(count)[0]

    def find(self, trace_id: str) -> Trace | None:
        """Return one trace by its 32 hex digits; None when it is not kept."""
        groups, _ = self._group()
        for key, group in groups.items():
            if key.hex() == trace_id:
                return self._trace(key, group)
        return None

    def summarise(self) -> TraceSummary:
        """Count the kept traces."""
        return self.query(0)[1]

    def query(self, count: int, asked: TraceFilter | None = None) -> tuple[tuple[Trace, ...], TraceSummary]:
        """Return what `latest` and `summarise` return, from one pass over everything that is kept.

        With `asked`, only traces that it matches are returned. The pass takes some 50 microseconds per trace and may run in a thread of its own while others add.
        """
        groups, malformed = self._group()
        matching = [
            (key, group)
            for key, group in groups.items()
            if asked is None
            or not asked.asks
            or asked.matches(_values(span.attributes) for _, span in group.values())
        ]
        chosen = sorted(matching, key=lambda item: _start_unix_ns(item[1]))[-count:] if count > 0 else []
        summary = TraceSummary(
            total=len(groups),
            matching=len(matching),
            joined=sum(self._is_joined(group) for group in groups.values()),
            spans=sum(len(group) for group in groups.values()),
            dropped_messages=self._dropped_messages,
            malformed_messages=malformed,
        )
        return tuple(self._trace(trace_id, group) for trace_id, group in chosen), summary

    def _group(self) -> tuple[dict[bytes, _Group], int]:
        """Parse everything that is kept: spans by trace, and the number of malformed messages."""
        groups: dict[bytes, _Group] = {}
        malformed = 0
        for _, message in tuple(self._messages):
            try:
                request = ExportTraceServiceRequest.FromString(message)
            except DecodeError:
                malformed += 1
                continue
            for service, span in _spans(request):
                # An export that timed out is sent again: the same span may come twice.
                groups.setdefault(span.trace_id, {})[span.span_id] = (service, span)
        if self._dropped_messages:
            horizon = self._horizon_unix_ns
            groups = {key: group for key, group in groups.items() if _start_unix_ns(group) > horizon}
        return groups, malformed

    def _trace(self, trace_id: bytes, group: _Group) -> Trace:
        ordered = sorted(group.values(), key=lambda entry: entry[1].start_time_unix_nano)
        shown = ordered[: self._max_spans_per_trace]
        return Trace(
            trace_id=trace_id.hex(),
            spans=tuple(_stored(service, span) for service, span in shown),
            is_joined=self._is_joined(group),
            omitted_spans=len(ordered) - len(shown),
        )

    def _is_joined(self, group: _Group) -> bool:
        """Hold a trace to: all services present, one unknown parent at most, and every span reachable from there."""
        children: dict[bytes, list[bytes]] = {}
        for span_id, (_, span) in group.items():
            parent_id = span.parent_span_id if span.parent_span_id in group else b""
            children.setdefault(parent_id, []).append(span_id)
        roots = children.get(b"", [])
        # Several may share the client's own span, which is exported elsewhere or nowhere.
        above = {group[root][1].parent_span_id for root in roots}
        if len(above) != 1 or (above == {b""} and len(roots) > 1):
            return False
        reached = 0
        frontier = list(roots)
        while frontier:
            reached += 1
            frontier.extend(children.get(frontier.pop(), ()))
        return reached == len(group) and self._services <= {service for service, _ in group.values()}


class StoreSink:
    """A `SpanSink` that puts the service's own spans straight into a store of the same process."""

    def __init__(self, store: TraceStore, envelope: BatchEnvelope, clock_unix_ns: Callable[[], int]) -> None:
        self._store = store
        self._envelope = envelope
        self._clock_unix_ns = clock_unix_ns

    def offer(self, scope_spans: bytes, span_count: int) -> None:  # noqa: ARG002 - for sinks that count
        """Keep the spans."""
        self._store.add(self._envelope.wrap((scope_spans,)), self._clock_unix_ns())


def summarise(store: TraceStore) -> dict[str, int]:
    """Return a store's summary in JSON form."""
    return asdict(store.summarise())


def _spans(request: ExportTraceServiceRequest) -> Iterator[tuple[str, Span]]:
    for resource_spans in request.resource_spans:
        service = next(
            (
                attribute.value.string_value
                for attribute in resource_spans.resource.attributes
                if attribute.key == "service.name"
            ),
            "",
        )
        for scope_spans in resource_spans.scope_spans:
            for span in scope_spans.spans:
                yield service, span


def _start_unix_ns(group: _Group) -> int:
    return min(span.start_time_unix_nano for _, span in group.values())


def _stored(service: str, span: Span) -> StoredSpan:
    return StoredSpan(
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        service=service,
        name=span.name,
        kind=_KINDS[span.kind] if span.kind < len(_KINDS) else _KINDS[0],
        start_unix_ns=span.start_time_unix_nano,
        end_unix_ns=span.end_time_unix_nano,
        is_error=span.status.code == Status.STATUS_CODE_ERROR,
        status_message=span.status.message,
        attributes=_values(span.attributes),
        events=tuple(
            StoredEvent(name=event.name, unix_ns=event.time_unix_nano, attributes=_values(event.attributes))
            for event in span.events
        ),
    )


def _values(attributes: Iterable[KeyValue]) -> dict[str, AttributeValue]:
    return {attribute.key: _value(attribute.value) for attribute in attributes}


def _value(value: AnyValue) -> AttributeValue:
    match value.WhichOneof("value"):
        case "string_value":
            return value.string_value
        case "bool_value":
            return value.bool_value
        case "int_value":
            return value.int_value
        case "double_value":
            return value.double_value
        case "array_value":
            return [str(_value(item)) for item in value.array_value.values]
        case _:
            return ""
