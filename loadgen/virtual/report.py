"""A comparison for people and machines: a table, `summary.json` and a plot of the frontiers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from loadgen.virtual.arms import ARMS
from loadgen.virtual.frontier import Comparison, compare
from loadgen.virtual.scenario import Scenario
from loadgen.virtual.summary import Figure, Summary

Frontiers = Mapping[str, Sequence[Summary]]

BASELINE = "laar"
"""The arm at whose points the others are compared."""


def comparisons(frontiers: Frontiers) -> dict[str, list[Comparison]]:
    """Every other arm against the baseline's points, by arm; empty without a baseline."""
    points = frontiers.get(BASELINE, ())
    return {
        arm: [found for point in points if (found := compare(summaries, point)) is not None]
        for arm, summaries in frontiers.items()
        if arm != BASELINE and points
    }


def as_document(name: str, *, is_recorded: bool, scenario: Scenario, frontiers: Frontiers) -> dict[str, Any]:
    """The content of `summary.json`."""
    return {
        "questions": name,
        "is_recorded": is_recorded,
        "scenario": {
            "rate": scenario.rate,
            "pattern": scenario.pattern,
            "requests": scenario.requests,
            "instances_per_model": scenario.instances,
            "seed": scenario.seed,
        },
        "arms": {
            arm: {
                "title": ARMS[arm].title,
                "knob": ARMS[arm].knob,
                "points": [_point(summary) for summary in summaries],
            }
            for arm, summaries in frontiers.items()
        },
        "against": BASELINE,
        "at_equal_success": {
            arm: [
                {
                    "baseline_knob": found.knob,
                    "success": found.success,
                    "mean_seconds_all_ratio": _figure(found.all_ratio),
                    "ttca_mean_ratio": _figure(found.solved_ratio),
                }
                for found in compared
            ]
            for arm, compared in comparisons(frontiers).items()
        },
    }


def show(frontiers: Frontiers, console: Console) -> None:
    """Print the points and the comparison at equal success."""
    table = Table(title="time and success by arm and knob")
    for heading in ("arm", "knob", "success", "first", "TTCA mean", "p50", "p95", "mean, all"):
        table.add_column(heading, justify="left" if heading == "arm" else "right")
    for heading in ("attempts", "tokens/correct", "$/1000 correct", "busy"):
        table.add_column(heading, justify="right")
    for arm, summaries in frontiers.items():
        for summary in summaries:
            table.add_row(ARMS[arm].title, *_cells(summary))
        table.add_section()
    console.print(table)
    compared = Table(title=f"at the success of {ARMS[BASELINE].title}: time relative to it, 95 % intervals")
    for heading in ("arm", "success", "mean, all requests", "TTCA, solved"):
        compared.add_column(heading, justify="left" if heading == "arm" else "right")
    for arm, found in comparisons(frontiers).items():
        for one in found:
            compared.add_row(
                ARMS[arm].title, f"{one.success:.3f}", _interval(one.all_ratio), _interval(one.solved_ratio)
            )
        compared.add_section()
    if compared.row_count:
        console.print(compared)


def plot(frontiers: Frontiers, scenario: Scenario, path: Path) -> None:
    """Draw every arm's frontier: success against time over all requests and over solved ones.

    Raises:
        ModuleNotFoundError: matplotlib is not installed (the extra `report`).
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Canvas
    from matplotlib.ticker import FormatStrFormatter, LogLocator, NullFormatter

    canvas = Canvas(figsize=(11, 4.5), layout="constrained")
    FigureCanvasAgg(canvas)
    sides = canvas.subplots(1, 2, sharey=True)
    titles = (
        ("mean_seconds_all", "mean time, all requests (s)"),
        ("ttca_mean_seconds", "mean TTCA, solved (s)"),
    )
    for side, (name, title) in zip(sides, titles, strict=True):
        for arm, summaries in frontiers.items():
            seconds = [summary.figures[name].value for summary in summaries]
            success = [summary.figures["success"].value for summary in summaries]
            side.plot(seconds, success, marker="o", markersize=4, label=ARMS[arm].title)
        side.set_xlabel(title)
        side.set_xscale("log")
        side.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        side.xaxis.set_major_formatter(FormatStrFormatter("%g"))
        side.xaxis.set_minor_formatter(NullFormatter())
        side.grid(visible=True, alpha=0.3)
    sides[0].set_ylabel("final success")
    sides[1].legend(fontsize=8)
    canvas.suptitle(
        f"{scenario.rate:g} requests/s ({scenario.pattern}), {scenario.requests} requests, seed {scenario.seed}"
    )
    canvas.savefig(path, dpi=130)


def _point(summary: Summary) -> dict[str, Any]:
    return {
        "knob": summary.knob,
        "requests": summary.requests,
        "busy_share": summary.busy_share,
        "preemptions": summary.preemptions,
        **{name: _figure(figure) for name, figure in summary.figures.items()},
    }


def _figure(figure: Figure) -> dict[str, Any]:
    return {"value": figure.value, "ci95": [figure.low, figure.high]}


def _cells(summary: Summary) -> list[str]:
    of = {name: figure.value for name, figure in summary.figures.items()}
    return [
        f"{summary.knob:g}",
        f"{of['success']:.3f}",
        f"{of['first_success']:.3f}",
        f"{of['ttca_mean_seconds']:.2f}",
        f"{of['ttca_p50_seconds']:.2f}",
        f"{of['ttca_p95_seconds']:.1f}",
        f"{of['mean_seconds_all']:.2f}",
        f"{of['attempts']:.2f}",
        f"{of['tokens_per_correct']:.0f}",
        f"{1000 * of['usd_per_correct']:.3f}",
        f"{summary.busy_share:.2f}",
    ]


def _interval(figure: Figure) -> str:
    return f"{figure.value:.2f} [{figure.low:.2f}, {figure.high:.2f}]"
