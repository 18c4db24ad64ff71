from __future__ import annotations

import pytest
from rich.console import Console, RenderableType

from extproc.telemetry.otlp import AttributeValue
from extproc.telemetry.trace_tree import SpanNode, TracesPayload, TraceTree
from extproc.telemetry.trace_view import WIDTH, render_payload, render_trace


def a_node(name: str, *children: SpanNode, offset_ms: float = 0.0, duration_ms: float = 100.0) -> SpanNode:
    """Build a span in JSON form."""
    return SpanNode(
        span_id=name,
        parent_id="",
        service="envoy",
        name=name,
        kind="server",
        offset_ms=offset_ms,
        duration_ms=duration_ms,
        is_error=False,
        status_message="",
        attributes={},
        children=list(children),
    )


def a_tree(*roots: SpanNode, is_joined: bool = True, omitted: int = 0) -> TraceTree:
    """Build a trace of 100 ms in JSON form."""
    return TraceTree(
        trace_id="4bf92f3577b34da6a3ce929d0e0e4736",
        start_unix_ns=1,
        duration_ms=100.0,
        span_count=3,
        omitted_spans=omitted,
        services=["envoy", "ttca-router"],
        is_joined=is_joined,
        roots=list(roots),
    )


def draw(renderable: RenderableType) -> list[str]:
    """Return what a terminal without colours would show, line by line."""
    console = Console(width=WIDTH, color_system=None)
    with console.capture() as capture:
        console.print(renderable)
    return [line.rstrip() for line in capture.get().splitlines()]


def test_a_trace_is_drawn_as_a_tree_with_times_and_bars() -> None:
    """Each span has a line with its place in the tree, its offset, its duration and a bar at its time."""
    decide = a_node("ttca.decide", offset_ms=25.0, duration_ms=0.5)
    decide["service"] = "ttca-router"
    last = a_node("last", offset_ms=50.0, duration_ms=50.0)

    lines = draw(render_trace(a_tree(a_node("root", a_node("call", decide), last))))

    title_width = 54
    assert [
        "trace 4bf92f3577b34da6a3ce929d0e0e4736  100.0 ms  3 spans  joined  █ envoy  ▓ ttca-router",
        "root".ljust(title_width) + "     +0 µs  100.0 ms  " + "█" * 24,
        "├─ call".ljust(title_width) + "     +0 µs  100.0 ms  " + "█" * 24,
        "│  └─ ttca.decide".ljust(title_width) + "  +25.0 ms    500 µs  " + " " * 6 + "▓",
        "└─ last".ljust(title_width) + "  +50.0 ms   50.0 ms  " + " " * 12 + "█" * 12,
    ] == lines


def test_an_attempts_events_are_among_its_facts() -> None:
    """After a rejected answer one reads below the try whether another one follows, and why; foreign events are silent."""
    root = a_node("ttca.attempt")
    root["attributes"] = {"ttca.attempt.verdict": "rejected", "ttca.attempt.number": 1}
    stopped: dict[str, AttributeValue] = {"ttca.budget.goes_on": False, "ttca.budget.reason": "deadline"}
    root["events"] = [
        {"name": "foreign", "offset_ms": 1.0, "attributes": {"a": "b"}},
        {"name": "ttca.budget", "offset_ms": 2.0, "attributes": stopped},
    ]

    assert ["   attempt 1 rejected · None on None · no further attempt: deadline"] == draw(
        render_trace(a_tree(root))
    )[2:]


def test_facts_stand_below_their_span() -> None:
    """A span's facts follow it, whole, on as many lines as they need."""
    root = a_node("router x egress", a_node("child"))
    root["attributes"] = {"component": "proxy", "http.status_code": "503", "upstream_cluster": "c" * 80}
    root["status_message"] = "no healthy upstream"

    lines = draw(render_trace(a_tree(root)))

    assert ["│  status 503", "│  cluster " + "c" * 80, "│  no healthy upstream"] == lines[2:-1]


def test_nothing_exceeds_the_width() -> None:
    """Long names and facts are cut at the width instead of breaking the picture."""
    root = a_node("n" * 300)
    root["status_message"] = "m" * 300

    lines = draw(render_trace(a_tree(root)))

    assert 3 == len(lines)
    assert max(len(line) for line in lines) <= WIDTH


def test_control_characters_do_not_reach_the_terminal() -> None:
    """Names come from clients: escape sequences and line breaks are shown as replacement characters."""
    root = a_node("a\x1b[2Jb\nc")
    root["status_message"] = "x\x1b]0;y\x07\nz"

    lines = draw(render_trace(a_tree(root)))

    assert 3 == len(lines)
    assert "\x1b" not in "".join(lines)


def test_markup_is_not_obeyed() -> None:
    """Square brackets in a name are text."""
    lines = draw(render_trace(a_tree(a_node("[red]model[/red]"))))

    assert lines[1].startswith("[red]model[/red]")


def test_unjoined_and_cut_traces_say_so() -> None:
    """A trace that is not joined, a detached piece and spans left out are named as such."""
    piece = a_node("piece")
    piece["is_detached"] = True

    lines = draw(render_trace(a_tree(a_node("root"), piece, is_joined=False, omitted=9)))

    assert "not joined" in lines[0]
    assert lines[2].startswith("piece (detached)")
    assert "… and 9 more spans" == lines[-1]


def test_the_store_is_summed_up() -> None:
    """The last line counts the traces, and explains when some are not joined yet."""
    payload = TracesPayload(traces=[a_tree(a_node("root"))], summary={"total": 9, "matching": 9, "joined": 9})
    whole = draw(render_payload(payload))[-1]
    payload["summary"]["joined"] = 8
    growing = draw(render_payload(payload))[-2:]

    payload["summary"]["matching"] = 4
    asked = draw(render_payload(payload))[-2:]

    assert "1 of 9 traces shown, 9 joined" == whole
    assert "1 of 4 that match, of 9 traces shown, 8 joined" in " ".join(asked)
    assert "1 of 9 traces shown, 8 joined; Envoy sends its spans in batches" in " ".join(growing)


@pytest.mark.parametrize(
    ("total", "expected"),
    [(9, "none of 9 traces matches"), (0, "no traces yet: send a request first")],
)
def test_nothing_to_show_is_explained(total: int, expected: str) -> None:
    """An empty page would leave the reader wondering what to do."""
    payload = TracesPayload(traces=[], summary={"total": total, "matching": 0, "joined": 0})

    assert " ".join(draw(render_payload(payload))).startswith(expected)


@pytest.mark.parametrize("key", ["guid:x-request-id", "ttca.request_id"])
def test_the_request_id_stands_below_the_heading(key: str) -> None:
    """Wherever in the trace it is: it is what the client and the logs know the request by."""
    call = a_node("call")
    call["attributes"] = {key: "ddc3e00c-2d9c-9f0b-a8f5-a590d2653517"}

    assert (
        "request ddc3e00c-2d9c-9f0b-a8f5-a590d2653517" == draw(render_trace(a_tree(a_node("root", call))))[1]
    )


def test_an_instant_trace_is_drawn() -> None:
    """A trace of no length has bars of one cell."""
    tree = a_tree(a_node("root", duration_ms=0.0))
    tree["duration_ms"] = 0.0

    assert draw(render_trace(tree))[1].endswith("0 µs  █")
