"""The list of workloads with their statistics."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from loadgen.workload.calls import Call, Workload
from loadgen.workload.catalog import NAMES, load_workload

SAMPLE = 2000
"""Calls that the statistics of a workload are taken from."""


def print_workloads(console: Console, *, folder: Path | None, seed: int) -> None:
    """Print every workload with the statistics of its first calls; fits 80 columns.

    Raises:
        FileNotFoundError: The data folder lacks a trace.
    """
    workloads = [load_workload(name, SAMPLE, folder=folder, seed=seed) for name in NAMES]
    table = Table(box=None, header_style="bold", padding=(0, 1, 0, 0))
    table.add_column("workload", no_wrap=True)
    for name in ("req/s", "gap cv", "prompt p50", "p99", "output p50", "p99", "reuse"):
        table.add_column(name, justify="right")
    for workload in workloads:
        table.add_row(workload.name, *_figures(workload))
    console.print(table)
    console.print(
        f"Sizes in tokens, of the first {SAMPLE} requests; reuse: share of prefix blocks seen before.",
        style="dim",
    )
    for workload in workloads:
        mix = ", ".join(f"{kind} {share:.0%}" for kind, share in workload.mix)
        console.print(f"\n{workload.description}\n  text: {mix} (assumed)", highlight=False)


def _figures(workload: Workload) -> list[str]:
    gaps = np.diff(workload.arrivals)
    prompts = [call.prompt_tokens for call in workload.calls]
    outputs = [call.output_tokens for call in workload.calls]
    return [
        f"{1 / gaps.mean():.2f}",
        f"{gaps.std() / gaps.mean():.2f}",
        *(f"{np.quantile(sizes, share):.0f}" for sizes in (prompts, outputs) for share in (0.5, 0.99)),
        f"{repeated_share(workload.calls):.0%}",
    ]


def repeated_share(calls: Sequence[Call]) -> float:
    """Share of prefix blocks that an earlier call had already; 0 when there are none."""
    seen: set[int] = set()
    blocks = repeated = 0
    for call in calls:
        blocks += len(call.blocks)
        repeated += sum(block in seen for block in call.blocks)
        seen.update(call.blocks)
    return repeated / blocks if blocks else 0.0
