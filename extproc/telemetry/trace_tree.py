"""One trace as a tree in JSON form: what the admin server hands out and `trace_view` draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import NotRequired, TypedDict

from extproc.telemetry.otlp import AttributeValue
from extproc.telemetry.trace_filter import TraceFilter
from extproc.telemetry.trace_store import StoredSpan, Trace, TraceStore

MOST_LEVELS = 100
"""Levels of a tree; a level takes two in JSON, and `orjson` writes some 250."""


class EventNode(TypedDict):
    """Something that happened within a span; `offset_ms` counts from the trace's first start."""

    name: str
    offset_ms: float
    attributes: dict[str, AttributeValue]


class SpanNode(TypedDict):
    """One span and what happened within it.

    `offset_ms` counts from the trace's first start; `children` are in order of their start. `events` stands on a span that
    has some. `is_detached` stands on a span whose parent is unknown although the trace has another root: a piece that is
    not joined. It also stands on what would be more than `MOST_LEVELS` deep, which begins a piece of its own.
    """

    span_id: str
    parent_id: str
    service: str
    name: str
    kind: str
    offset_ms: float
    duration_ms: float
    is_error: bool
    status_message: str
    attributes: dict[str, AttributeValue]
    children: list[SpanNode]
    events: NotRequired[list[EventNode]]
    is_detached: NotRequired[bool]


class TraceTree(TypedDict):
    """One trace; `roots` holds one node when the trace is whole."""

    trace_id: str
    start_unix_ns: int
    duration_ms: float
    span_count: int
    omitted_spans: int
    services: list[str]
    is_joined: bool
    roots: list[SpanNode]


class TracesPayload(TypedDict):
    """What the admin server answers to `/traces?last=N`: the latest traces, oldest first, and the store's summary."""

    traces: list[TraceTree]
    summary: dict[str, int]


def traces_payload(store: TraceStore, last: int, asked: TraceFilter | None = None) -> TracesPayload:
    """Return the latest traces of a store, of those that are asked for, in JSON form."""
    traces, summary = store.query(last, asked)
    return TracesPayload(traces=[to_tree(trace) for trace in traces], summary=asdict(summary))


def to_tree(trace: Trace) -> TraceTree:
    """Arrange a trace's spans by parent; spans whose parents form a circle are attached as roots of their own."""
    start_unix_ns = min(span.start_unix_ns for span in trace.spans)
    end_unix_ns = max(span.end_unix_ns for span in trace.spans)
    return TraceTree(
        trace_id=trace.trace_id,
        start_unix_ns=start_unix_ns,
        duration_ms=_milliseconds(end_unix_ns - start_unix_ns),
        span_count=len(trace.spans),
        omitted_spans=trace.omitted_spans,
        services=sorted({span.service for span in trace.spans}),
        is_joined=trace.is_joined,
        roots=_roots(trace.spans, start_unix_ns),
    )


def _roots(spans: Sequence[StoredSpan], start_unix_ns: int) -> list[SpanNode]:
    nodes = {span.span_id: _node(span, start_unix_ns) for span in spans}
    roots: list[SpanNode] = []
    for node in nodes.values():
        parent = nodes.get(node["parent_id"])
        if parent is None or _descends_from(parent, node, nodes):
            roots.append(node)
        else:
            parent["children"].append(node)
    for extra in roots[1:]:
        if not extra["parent_id"] or extra["parent_id"] != roots[0]["parent_id"]:
            extra["is_detached"] = True
    _cut_deep(roots)
    return roots


def _cut_deep(roots: list[SpanNode]) -> None:
    """Make pieces of their own of what is too deep to be written."""
    pending = [(root, 1) for root in roots]
    while pending:
        node, level = pending.pop()
        if level < MOST_LEVELS:
            pending.extend((child, level + 1) for child in node["children"])
            continue
        for child in node["children"]:
            child["is_detached"] = True
            roots.append(child)
            pending.append((child, 1))
        node["children"] = []


def _descends_from(node: SpanNode, ancestor: SpanNode, nodes: dict[str, SpanNode]) -> bool:
    """Say whether hanging `ancestor` under `node` would close a circle."""
    seen: set[str] = set()
    current: SpanNode | None = node
    while current is not None and current["span_id"] not in seen:
        if current is ancestor:
            return True
        seen.add(current["span_id"])
        current = nodes.get(current["parent_id"])
    return False


def _node(span: StoredSpan, start_unix_ns: int) -> SpanNode:
    node = SpanNode(
        span_id=span.span_id,
        parent_id=span.parent_id,
        service=span.service,
        name=span.name,
        kind=span.kind,
        offset_ms=_milliseconds(span.start_unix_ns - start_unix_ns),
        duration_ms=_milliseconds(span.end_unix_ns - span.start_unix_ns),
        is_error=span.is_error,
        status_message=span.status_message,
        attributes=dict(span.attributes),
        children=[],
    )
    if span.events:
        node["events"] = [
            EventNode(
                name=event.name,
                offset_ms=_milliseconds(event.unix_ns - start_unix_ns),
                attributes=dict(event.attributes),
            )
            for event in span.events
        ]
    return node


def _milliseconds(nanoseconds: int) -> float:
    return round(nanoseconds / 1e6, 6)
