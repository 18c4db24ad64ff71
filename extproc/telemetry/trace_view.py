"""Draws traces for a terminal: a tree with offsets, durations, time bars and the facts of each span, in 100 columns.

Pure: from the JSON form (`trace_tree`) to rich renderables; fetching and printing are the command's business.
"""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from extproc.telemetry.span_facts import event_facts, facts, request_id, title
from extproc.telemetry.trace_tree import SpanNode, TracesPayload, TraceTree

WIDTH = 100
_BAR_WIDTH = 24
_TIME_WIDTH = 10
_TITLE_WIDTH = WIDTH - _BAR_WIDTH - 2 * _TIME_WIDTH - 2

# Two services are told apart by glyph as well as by colour: a log file has no colour.
_SERVICE_STYLES = (("█", "cyan"), ("▓", "green"), ("▒", "magenta"), ("░", "yellow"))


def render_payload(payload: TracesPayload) -> RenderableType:
    """Return all traces of an answer, oldest first, and a line that sums up the store."""
    summary = payload["summary"]
    if not payload["traces"]:
        return Text(_nothing(summary), style="dim")
    blocks: list[RenderableType] = []
    for trace in payload["traces"]:
        blocks += [render_trace(trace), Text()]
    matching = "" if summary["matching"] == summary["total"] else f"{summary['matching']} that match, of "
    closing = (
        f"{len(payload['traces'])} of {matching}{summary['total']} traces shown, {summary['joined']} joined"
    )
    if summary["joined"] < summary["total"]:
        closing += "; Envoy sends its spans in batches, so the last ones may follow in a moment"
    blocks.append(Text(closing, style="dim"))
    return Group(*blocks)


def _nothing(summary: dict[str, int]) -> str:
    if summary["total"]:
        return f"none of {summary['total']} traces matches; Envoy sends its spans in batches, so one may follow in a moment"
    return (
        "no traces yet: send a request first. There are none either while telemetry.otlp_endpoint of the fleet file names "
        "a collector, or with a sample_ratio of 0"
    )


def render_trace(trace: TraceTree) -> Text:
    """Return one trace: a heading, then one line per span with its facts below it."""
    styles = {
        service: _SERVICE_STYLES[index % len(_SERVICE_STYLES)]
        for index, service in enumerate(trace["services"])
    }
    lines = [_heading(trace, styles)]
    known = _request_id(trace["roots"])
    if known:
        lines.append(Text(f"request {_plain(known)}", "dim"))
    for index, root in enumerate(trace["roots"]):
        _draw(root, lines, trace["duration_ms"], styles, guide="", is_last=index == len(trace["roots"]) - 1)
    if trace["omitted_spans"]:
        lines.append(Text(f"… and {trace['omitted_spans']} more spans", style="dim"))
    return Text("\n", no_wrap=True, overflow="ellipsis").join(lines)


def _request_id(nodes: list[SpanNode]) -> str:
    """Return the first request id that a span carries, from the root down."""
    for node in nodes:
        found = request_id(node["attributes"]) or _request_id(node["children"])
        if found:
            return found
    return ""


def _heading(trace: TraceTree, styles: dict[str, tuple[str, str]]) -> Text:
    heading = Text.assemble(
        ("trace ", "bold"),
        (trace["trace_id"], "bold"),
        f"  {_duration(trace['duration_ms'])}  {trace['span_count']} spans  ",
        ("joined", "green") if trace["is_joined"] else ("not joined", "yellow"),
    )
    for service, (glyph, colour) in styles.items():
        heading.append(f"  {glyph} {service}", colour)
    return heading


def _draw(
    node: SpanNode,
    lines: list[Text],
    total_ms: float,
    styles: dict[str, tuple[str, str]],
    *,
    guide: str,
    is_last: bool,
    depth: int = 0,
) -> None:
    """Append the lines of a span and of everything below it; `guide` is what stands left of its branch."""
    branch = "" if depth == 0 else "└─ " if is_last else "├─ "
    below = guide + ("" if depth == 0 else "   " if is_last else "│  ")
    glyph, colour = styles[node["service"]]
    label = _plain(title(node["name"], node["attributes"])) + (
        " (detached)" if node.get("is_detached") else ""
    )
    line = Text(guide + branch, style="dim")
    line.append(label, "bold red" if node["is_error"] else f"bold {colour}")
    line.truncate(_TITLE_WIDTH, overflow="ellipsis", pad=True)
    line.append(f"{'+' + _duration(node['offset_ms']):>{_TIME_WIDTH}}", "dim")
    line.append(f"{_duration(node['duration_ms']):>{_TIME_WIDTH}}  ")
    line.append(_bar(node, total_ms, glyph), colour)
    lines.append(line)
    stem = below + ("│  " if node["children"] else "   ")
    notes = facts(node["attributes"])
    for event in node.get("events", ()):
        notes += event_facts(event["name"], event["attributes"])
    if node["status_message"]:
        notes.append(node["status_message"])
    lines += [Text(stem + note, style="dim") for note in _wrapped(notes, WIDTH - len(stem))]
    for index, child in enumerate(node["children"]):
        last = index == len(node["children"]) - 1
        _draw(child, lines, total_ms, styles, guide=below, is_last=last, depth=depth + 1)


def _bar(node: SpanNode, total_ms: float, glyph: str) -> str:
    """Place a span in the trace's time; the shortest span is one cell wide."""
    if total_ms <= 0:
        return glyph
    start = min(int(node["offset_ms"] / total_ms * _BAR_WIDTH), _BAR_WIDTH - 1)
    cells = max(1, round(node["duration_ms"] / total_ms * _BAR_WIDTH))
    return " " * start + glyph * min(cells, _BAR_WIDTH - start)


def _wrapped(notes: list[str], width: int) -> list[str]:
    """Fill lines with whole facts; a fact longer than a line is cut."""
    lines: list[str] = []
    for note in map(_plain, notes):
        short = note if len(note) <= width else note[: width - 1] + "…"
        if lines and len(lines[-1]) + 3 + len(short) <= width:
            lines[-1] += f" · {short}"
        else:
            lines.append(short)
    return lines


def _plain(text: str) -> str:
    """Replace what a terminal would obey: names and messages may come from clients."""
    return "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text
    )


def _duration(milliseconds: float) -> str:
    if milliseconds >= 1000:
        return f"{milliseconds / 1000:.2f} s"
    if milliseconds >= 1:
        return f"{milliseconds:.1f} ms"
    return f"{milliseconds * 1000:.0f} µs"
