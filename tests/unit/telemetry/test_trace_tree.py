from __future__ import annotations

import json
from dataclasses import replace

import orjson
from hypothesis import given
from hypothesis import strategies as st

from extproc.telemetry.trace_store import StoredEvent, StoredSpan, Trace, TraceStore
from extproc.telemetry.trace_tree import SpanNode, to_tree, traces_payload


def a_span(span_id: str, parent_id: str = "", *, start: int = 0, end: int = 10) -> StoredSpan:
    """Build a stored span."""
    return StoredSpan(
        span_id=span_id,
        parent_id=parent_id,
        service="envoy",
        name=f"span {span_id}",
        kind="server",
        start_unix_ns=start,
        end_unix_ns=end,
        is_error=False,
        status_message="",
        attributes={"list": ["a"]},
    )


def a_trace(*spans: StoredSpan) -> Trace:
    """Build a trace of these spans."""
    return Trace(trace_id="0" * 31 + "1", spans=spans, is_joined=True, omitted_spans=0)


def _count(nodes: list[SpanNode]) -> int:
    return sum(1 + _count(node["children"]) for node in nodes)


def test_children_hang_under_their_parents() -> None:
    """Spans form a tree by parent, with times relative to the trace's start, in milliseconds."""
    tree = to_tree(
        a_trace(
            a_span("a", start=1_000_000, end=9_000_000),
            a_span("b", "a", start=2_000_000, end=3_500_000),
            a_span("c", "b", start=2_500_000, end=3_000_000),
        )
    )

    (root,) = tree["roots"]
    (child,) = root["children"]
    assert ("a", 0.0, 8.0) == (root["span_id"], root["offset_ms"], root["duration_ms"])
    assert ("b", 1.0, 1.5) == (child["span_id"], child["offset_ms"], child["duration_ms"])
    assert ["c"] == [node["span_id"] for node in child["children"]]
    assert (8.0, 3, ["envoy"]) == (tree["duration_ms"], tree["span_count"], tree["services"])


def test_events_stand_on_their_span() -> None:
    """With their time since the trace began; a span without any has no list of them."""
    event = StoredEvent(name="ttca.budget", unix_ns=4_000_000, attributes={"why": "worth_it"})
    (root,) = to_tree(
        a_trace(
            a_span("a", start=1_000_000, end=9_000_000),
            replace(a_span("b", "a", start=2_000_000, end=4_000_000), events=(event,)),
        )
    )["roots"]

    assert "events" not in root
    assert [{"name": "ttca.budget", "offset_ms": 3.0, "attributes": {"why": "worth_it"}}] == root["children"][
        0
    ]["events"]


def test_a_piece_that_is_not_joined_is_marked() -> None:
    """A span whose parent is unknown stands beside the root and is marked as detached."""
    tree = to_tree(a_trace(a_span("a"), a_span("b", "lost")))

    assert [False, True] == [node.get("is_detached", False) for node in tree["roots"]]


def test_siblings_under_the_clients_span_are_not_detached() -> None:
    """Spans that share the client's span as their parent belong together."""
    tree = to_tree(a_trace(a_span("a", "client"), a_span("b", "client")))

    assert [False, False] == [node.get("is_detached", False) for node in tree["roots"]]


@given(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=8))
def test_any_parents_give_a_finite_tree_with_all_spans(parents: list[str]) -> None:
    """Whatever spans claim as parents, circles included, each span appears exactly once."""
    spans = [a_span(span_id, parent) for span_id, parent in zip("abcdefgh", parents, strict=False)]

    tree = to_tree(a_trace(*spans))

    assert len(spans) == _count(tree["roots"])


def test_a_chain_of_spans_of_any_length_can_be_written() -> None:
    """Spans that nest more deeply than JSON is written stand beside the root as further pieces; none is lost."""
    ids = [f"{number:016x}" for number in range(1, 257)]
    spans = [a_span(one, parent) for one, parent in zip(ids, ["", *ids], strict=False)]

    tree = to_tree(a_trace(*spans))

    assert tree == orjson.loads(orjson.dumps(tree))
    assert len(spans) == _count(tree["roots"])
    assert [(ids[0], False), (ids[100], True), (ids[200], True)] == [
        (node["span_id"], node.get("is_detached", False)) for node in tree["roots"]
    ]


def test_the_answer_is_json() -> None:
    """A tree and a store's answer can be written as JSON as they are."""
    tree = to_tree(a_trace(a_span("a")))

    assert tree == json.loads(json.dumps(tree))
    assert {"total": 0, "joined": 0}.items() <= traces_payload(TraceStore(frozenset()), 5)["summary"].items()
