"""The figures of the benchmark: `decide.json` for machines, tables for people."""

from __future__ import annotations

import os
import platform
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from extproc.decide.order import Policy
from loadgen.bench.intervals import median_interval, paired_ratio
from loadgen.decide_bench.measure import (
    LARGE,
    PAPER_INSTANCES,
    SMALL,
    Case,
    Extent,
    Floats,
    Measured,
    medians,
    other_microseconds,
)
from loadgen.decide_bench.stand import MODELS
from loadgen.decide_bench.stopwatch import STAGES, WHOLE

PAPER_MS = (28.0, 32.0)
"""RouteBalance's decision, published (arXiv 2606.17949): four models on 13 instances."""

AIM_P50_US = 300.0
"""A hundredth of that."""

AIM_GROWTH = 4.0
"""Most that a decision over `LARGE` instances may cost, over one over `SMALL`."""


def summary(measured: Measured, extent: Extent, *, seed: int, is_recorded: bool) -> dict[str, Any]:
    """The content of `decide.json`; times are microseconds."""
    rows = [_row(case, measured, seed) for case in extent.cases]
    ours = next(row for row in rows if row["instances"] == PAPER_INSTANCES)
    small, large = (
        medians(measured.microseconds[Case(size, Policy.FIRST_CORRECT)]) for size in (SMALL, LARGE)
    )
    growth = paired_ratio(large, small, seed=seed)
    return {
        "seed": seed,
        "questions_recorded": is_recorded,
        "models": MODELS,
        "rounds": extent.rounds,
        "decisions_per_round": extent.decisions,
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "paper": {
            "published_ms": PAPER_MS,
            "p50_us": ours["p50_us"],
            "times_faster": [1e3 * published / ours["p50_us"] for published in PAPER_MS],
            "aim_p50_us": AIM_P50_US,
            "is_met": ours["p50_us"] <= AIM_P50_US,
        },
        "growth": {
            "instances": [SMALL, LARGE],
            "ratio": growth.median,
            "ci95": [growth.low, growth.high],
            "aim": AIM_GROWTH,
            "is_met": growth.high <= AIM_GROWTH,
        },
        "rows": rows,
        "stages": {str(size): _stage_rows(stages) for size, stages in measured.stages.items()},
    }


def _row(case: Case, measured: Measured, seed: int) -> dict[str, Any]:
    rounds = measured.microseconds[case]
    times, cpu_times = np.concatenate(rounds), np.concatenate(measured.cpu_microseconds[case])
    interval = median_interval(medians(rounds), seed=seed)
    return {
        "instances": case.instances,
        "policy": case.policy.value,
        "decisions": len(times),
        "p50_us": float(np.quantile(times, 0.5)),
        "p99_us": float(np.quantile(times, 0.99)),
        "cpu_p50_us": float(np.quantile(cpu_times, 0.5)),
        "cpu_p99_us": float(np.quantile(cpu_times, 0.99)),
        "median_of_rounds_us": interval.median,
        "ci95_us": [interval.low, interval.high],
    }


def _stage_rows(stages: dict[str, Floats]) -> list[dict[str, Any]]:
    whole = float(np.median(stages[WHOLE]))
    found = [
        {"stage": name, "depth": depth, "p50_us": float(np.median(stages[name]))}
        for name, depth, _, _ in STAGES
    ]
    found.append({"stage": "other", "depth": 1, "p50_us": other_microseconds(stages)})
    return [{**row, "share": float(str(row["p50_us"])) / whole} for row in found]


def show(document: dict[str, Any], console: Console) -> None:
    """Print the tables."""
    console.print(_cases(document))
    console.print(_stages(document))
    paper, growth = document["paper"], document["growth"]
    least, most = paper["times_faster"]
    console.print(
        f"four models, {PAPER_INSTANCES} instances: p50 {paper['p50_us']:.0f} µs; RouteBalance published "
        f"{PAPER_MS[0]:.0f} to {PAPER_MS[1]:.0f} ms, {least:.0f} to {most:.0f} times as much "
        f"(aim: p50 up to {AIM_P50_US:.0f} µs, {'met' if paper['is_met'] else 'missed'})",
        highlight=False,
    )
    low, high = growth["ci95"]
    console.print(
        f"{LARGE} instances over {SMALL}: {growth['ratio']:.2f} times [{low:.2f}, {high:.2f}] "
        f"(aim: up to {AIM_GROWTH:.0f}, {'met' if growth['is_met'] else 'missed'})",
        highlight=False,
    )


def _cases(document: dict[str, Any]) -> Table:
    table = Table(title="one decision, microseconds")
    table.add_column("policy")
    for name in ("instances", "p50", "p99", "CPU p50", "CPU p99", "median of rounds [95 %]"):
        table.add_column(name, justify="right")
    for row in document["rows"]:
        low, high = row["ci95_us"]
        table.add_row(
            row["policy"],
            str(row["instances"]),
            f"{row['p50_us']:.0f}",
            f"{row['p99_us']:.0f}",
            f"{row['cpu_p50_us']:.0f}",
            f"{row['cpu_p99_us']:.0f}",
            f"{row['median_of_rounds_us']:.0f} [{low:.0f}, {high:.0f}]",
        )
    return table


def _stages(document: dict[str, Any]) -> Table:
    sizes = list(document["stages"])
    table = Table(title="its stages under first_correct, p50 in microseconds (timed in a run of their own)")
    table.add_column("stage")
    for size in sizes:
        table.add_column(f"{size} instances", justify="right")
        table.add_column("share", justify="right")
    for rows in zip(*(document["stages"][size] for size in sizes), strict=True):
        cells = [cell for row in rows for cell in (f"{row['p50_us']:.0f}", f"{row['share']:.0%}")]
        table.add_row("  " * rows[0]["depth"] + rows[0]["stage"], *cells)
    return table
