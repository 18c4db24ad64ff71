"""What happens to retries when the fleet is offered more than it can do: the load is swept past saturation.

Blind retries answer a wrong answer with another attempt whatever the load, so that the fleet does the more work the less it can. A
plan prices the delay that an attempt causes, and makes fewer of them. 100 % is the rate that was asked for; with the study's fleet, LAAR
with three attempts takes four times its idle time at 35 requests per second, so that 37 counts as all that the fleet can do. With
these models, four to five of ten first answers of the quickest choice are wrong.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from loadgen.virtual.arms import ARMS, Workbench
from loadgen.virtual.scenario import Scenario, summarize_point
from loadgen.virtual.summary import Summary

POINTS: Sequence[tuple[str, float]] = (("laar", 5.0), ("laar", 1.0), ("router_verified", 80.0))
"""Arms with the values of their knobs: blind retries, none, and the plan."""

LOADS = (0.5, 0.8, 0.95, 1.1, 1.4)


@dataclass(frozen=True, slots=True, kw_only=True)
class OverloadOptions:
    """What is swept.

    Attributes:
        scenario: What is simulated; its rate is that of 100 %.
        processes: How many runs at once.
        out: Folder for `overload.json` and `overload.png`.
    """

    scenario: Scenario
    processes: int
    out: Path


def sweep(bench: Workbench, options: OverloadOptions, console: Console) -> dict[str, list[Summary]]:
    """Run every arm at every load, print the table and write figures and plot."""
    runs = [(arm, knob, load) for arm, knob in POINTS for load in LOADS]
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    found: dict[str, list[Summary]] = {}
    with (
        Progress(*columns, console=console) as progress,
        ProcessPoolExecutor(options.processes, mp_context=get_context("spawn")) as pool,
    ):
        task = progress.add_task("sweeping the load", total=len(runs))
        futures = [
            pool.submit(
                summarize_point,
                bench,
                replace(options.scenario, rate=load * options.scenario.rate),
                arm,
                knob,
            )
            for arm, knob, load in runs
        ]
        for (arm, knob, _), future in zip(runs, futures, strict=True):
            found.setdefault(_title(arm, knob), []).append(future.result())
            progress.advance(task)
    _show(found, console)
    options.out.mkdir(parents=True, exist_ok=True)
    figures = options.out / "overload.json"
    figures.write_text(json.dumps(_document(found, options.scenario), indent=1) + "\n", encoding="utf-8")
    console.print(f"figures: {figures}", highlight=False)
    try:
        _plot(found, options.out / "overload.png")
    except ModuleNotFoundError:
        console.print("no plot: matplotlib is not installed (pip install 'ttca-router[report]')")
    else:
        console.print(f"plot: {options.out / 'overload.png'}", highlight=False)
    return found


def _title(arm: str, knob: float) -> str:
    return f"{ARMS[arm].title} ({ARMS[arm].knob}: {knob:g})"


def _show(found: dict[str, list[Summary]], console: Console) -> None:
    table = Table(title="mean time over all requests, and attempts per request, by offered load")
    table.add_column("arm")
    for load in LOADS:
        table.add_column(f"{load:.0%}", justify="right")
    for title, summaries in found.items():
        table.add_row(title, *(_cell(summary) for summary in summaries))
    console.print(table)


def _cell(summary: Summary) -> str:
    seconds, attempts = summary.figures["mean_seconds_all"], summary.figures["attempts"]
    success = summary.figures["success"]
    return f"{seconds.value:.1f} s [{seconds.low:.1f}, {seconds.high:.1f}]\n{attempts.value:.2f} tries, {success.value:.0%} right"


def _document(found: dict[str, list[Summary]], scenario: Scenario) -> dict[str, Any]:
    names = ("mean_seconds_all", "ttca_mean_seconds", "attempts", "success")
    return {
        "rate_at_100_percent": scenario.rate,
        "seed": scenario.seed,
        "requests": scenario.requests,
        "loads": list(LOADS),
        "arms": {
            title: [
                {
                    name: {
                        "value": s.figures[name].value,
                        "ci95": [s.figures[name].low, s.figures[name].high],
                    }
                    for name in names
                }
                for s in summaries
            ]
            for title, summaries in found.items()
        },
    }


def _plot(found: dict[str, list[Summary]], path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    canvas = Figure(figsize=(11, 4.5), layout="constrained")
    FigureCanvasAgg(canvas)
    sides = canvas.subplots(1, 2)
    percent = [100 * load for load in LOADS]
    for side, name, label in (
        (sides[0], "mean_seconds_all", "mean time, all requests (s)"),
        (sides[1], "attempts", "attempts per request"),
    ):
        for title, summaries in found.items():
            figures = [summary.figures[name] for summary in summaries]
            side.plot(percent, [figure.value for figure in figures], marker="o", label=title)
            side.fill_between(
                percent, [figure.low for figure in figures], [figure.high for figure in figures], alpha=0.15
            )
        side.set_xlabel("offered load (%)")
        side.set_ylabel(label)
        side.grid(visible=True, alpha=0.3)
    sides[0].set_yscale("log")
    sides[0].legend(fontsize=8)
    canvas.savefig(path, dpi=130)
