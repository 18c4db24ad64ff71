"""A study for people and machines: tables, `summary.json` and a plot of the frontiers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from loadgen.ttca.arms import ARMS, BASELINE
from loadgen.ttca.study import Point, StudyResult
from loadgen.virtual.frontier import Comparison, compare
from loadgen.virtual.summary import Figure

KEEPS_UP_LAG_SECONDS = 0.05
"""Real seconds by which a request may be sent late before the run is called disturbed."""


def comparisons(result: StudyResult, load: str) -> dict[str, list[Comparison]]:
    """Every other arm against the baseline's points at a load, by arm; empty without a baseline."""
    frontiers = result.frontiers(load)
    points = frontiers.get(BASELINE, ())
    return {
        arm: [found for point in points if (found := compare(summaries, point)) is not None]
        for arm, summaries in frontiers.items()
        if arm != BASELINE and points
    }


def disturbances(result: StudyResult) -> list[str]:
    """What says that the machine was too slow for the study, in readable lines; empty when it kept up."""
    lines = []
    late = [point for point in result.points if point.lag_p99_seconds > KEEPS_UP_LAG_SECONDS]
    if late:
        worst = max(point.lag_p99_seconds for point in late)
        lines.append(f"{len(late)} points sent requests late, by up to {1000 * worst:.0f} ms (p99)")
    for name in result.points[0].usage.saturated:
        share = _saturated(result, name)
        if share > 0.05:
            who = "all cores were" if name == "machine" else f"a core of the process `{name}` was"
            lines.append(f"{who} saturated during {share:.0%} of the time")
    errors = sum(point.errors for point in result.points)
    if errors:
        lines.append(f"{errors} requests were not answered")
    return lines


def as_document(result: StudyResult) -> dict[str, Any]:
    """The content of `summary.json`."""
    study = result.study
    return {
        "questions": study.questions,
        "is_recorded": result.is_recorded,
        "seed": study.seed,
        "time_scale": study.time_scale,
        "requests_per_point": study.requests,
        "is_quick": study.is_quick,
        "real_seconds": result.real_seconds,
        "disturbances": disturbances(result),
        "baseline": BASELINE,
        "loads": {load: _load(result, load) for load in study.rates},
    }


def _load(result: StudyResult, load: str) -> dict[str, Any]:
    found = {(p.plan.arm, p.plan.value): p for p in result.points if p.plan.load == load}
    return {
        "rate_per_simulated_second": result.study.rates[load],
        "policies": {
            arm: {
                "title": ARMS[arm].title,
                "policy": ARMS[arm].policy,
                "knob": str(ARMS[arm].knob),
                "points": [_point(found[arm, value]) for value in result.study.values(arm)],
            }
            for arm in result.study.arms
        },
        "at_equal_success": {
            arm: [
                {
                    "baseline_knob": one.knob,
                    "success": one.success,
                    "mean_seconds_all_ratio": _figure(one.all_ratio),
                    "ttca_mean_ratio": _figure(one.solved_ratio),
                }
                for one in compared
            ]
            for arm, compared in comparisons(result, load).items()
        },
    }


def _point(point: Point) -> dict[str, Any]:
    summary = point.summary
    return {
        "knob": summary.knob,
        "requests": summary.requests,
        **{name: _figure(figure) for name, figure in summary.figures.items()},
        "success_within_seconds": {f"{limit:g}": _figure(figure) for limit, figure in point.within.items()},
        "errors": point.errors,
        "schedule_lag_p99_ms": 1000 * point.lag_p99_seconds,
        "cores_used": dict(point.usage.cores),
        "saturated_share": dict(point.usage.saturated),
    }


def _figure(figure: Figure) -> dict[str, Any]:
    return {"value": figure.value, "ci95": [figure.low, figure.high]}


def show(result: StudyResult, console: Console) -> None:
    """Print the points, the comparison at equal success, and how the machine bore it."""
    for load in result.study.rates:
        console.print(_points_table(result, load))
        compared = _compared_table(result, load)
        if compared.row_count:
            console.print(compared)
    cores = result.points[0].usage.cores
    used = ", ".join(f"{name} {_cores(result, name):.2f}" for name in cores)
    console.print(f"mean cores in use: {used}", highlight=False)
    lags = [point.lag_p99_seconds for point in result.points]
    console.print(
        f"requests sent late by {1000 * max(lags):.0f} ms at most (p99 of a point)", highlight=False
    )
    for line in disturbances(result):
        console.print(f"disturbed: {line}", highlight=False)


def _points_table(result: StudyResult, load: str) -> Table:
    rate = result.study.rates[load]
    table = Table(
        title=f"{load} load, {rate:g} requests/s: simulated seconds; time and success by policy and knob"
    )
    headings = ("policy", "knob", "success", "first", "TTCA mean", "p50", "p95", "mean, all", "attempts")
    for heading in (*headings, "tokens/correct", "$/1000 correct", "within 5 s"):
        table.add_column(heading, justify="left" if heading == "policy" else "right")
    points = {(p.plan.arm, p.plan.value): p for p in result.points if p.plan.load == load}
    for arm in result.study.arms:
        for value in result.study.values(arm):
            table.add_row(ARMS[arm].title, *_cells(points[arm, value]))
        table.add_section()
    return table


def _cells(point: Point) -> list[str]:
    of = {name: figure.value for name, figure in point.summary.figures.items()}
    return [
        f"{point.plan.value:g}",
        f"{of['success']:.3f}",
        f"{of['first_success']:.3f}",
        f"{of['ttca_mean_seconds']:.2f}",
        f"{of['ttca_p50_seconds']:.2f}",
        f"{of['ttca_p95_seconds']:.1f}",
        f"{of['mean_seconds_all']:.2f}",
        f"{of['attempts']:.2f}",
        f"{of['tokens_per_correct']:.0f}",
        f"{1000 * of['usd_per_correct']:.3f}",
        f"{point.within[5.0].value:.3f}",
    ]


def _compared_table(result: StudyResult, load: str) -> Table:
    title = f"{load} load, at the success of {ARMS[BASELINE].title}: time relative to it, 95 % intervals"
    table = Table(title=title)
    for heading in ("policy", "against cap", "success", "mean, all requests", "TTCA, solved"):
        table.add_column(heading, justify="left" if heading == "policy" else "right")
    for arm, found in comparisons(result, load).items():
        for one in found:
            cells = (
                f"{one.knob:g}",
                f"{one.success:.3f}",
                _interval(one.all_ratio),
                _interval(one.solved_ratio),
            )
            table.add_row(ARMS[arm].title, *cells)
        table.add_section()
    return table


def plot(result: StudyResult, path: Path) -> None:
    """Draw every policy's frontier, a row per load: success against time over all requests and over solved ones.

    Raises:
        ModuleNotFoundError: matplotlib is not installed (the extra `report`).
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Canvas

    rates = result.study.rates
    canvas = Canvas(figsize=(11, 4.2 * len(rates)), layout="constrained")
    FigureCanvasAgg(canvas)
    sides = canvas.subplots(len(rates), 2, sharey=True, squeeze=False)
    titles = {"mean_seconds_all": "mean time, all requests (s)", "ttca_mean_seconds": "mean TTCA, solved (s)"}
    for row, (load, rate) in zip(sides, rates.items(), strict=True):
        for side, (name, title) in zip(row, titles.items(), strict=True):
            for arm, summaries in result.frontiers(load).items():
                seconds = [summary.figures[name].value for summary in summaries]
                success = [summary.figures["success"].value for summary in summaries]
                side.plot(seconds, success, marker="o", markersize=4, label=ARMS[arm].title)
            side.set_xlabel(title)
            side.set_xscale("log")
            side.grid(visible=True, alpha=0.3)
        row[0].set_ylabel(f"final success, {rate:g} requests/s")
    sides[0][1].legend(fontsize=8)
    study = result.study
    canvas.suptitle(
        f"through Envoy: {study.questions}, {study.requests} requests per point, seed {study.seed}"
    )
    canvas.savefig(path, dpi=130)


def _cores(result: StudyResult, name: str) -> float:
    return sum(point.usage.cores[name] for point in result.points) / len(result.points)


def _saturated(result: StudyResult, name: str) -> float:
    return sum(point.usage.saturated[name] for point in result.points) / len(result.points)


def _interval(figure: Figure) -> str:
    return f"{figure.value:.2f} [{figure.low:.2f}, {figure.high:.2f}]"
