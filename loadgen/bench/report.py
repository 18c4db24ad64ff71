"""The benchmark's figures: rows for machines, a table for people."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from loadgen.bench.arms import ArmName
from loadgen.bench.cases import AIM_CPU_RATIO, Case
from loadgen.bench.intervals import Interval, paired_difference, paired_ratio
from loadgen.bench.run import CONCURRENCY, INSTANCES, BenchResult, Sample

Row = dict[str, Any]

_MICROSECONDS = 1e6
_MILLISECONDS = 1e3


def bench_summary(result: BenchResult) -> dict[str, Any]:
    """The content of `overhead.json`."""
    rows = [_row(result, case, arm) for case in result.extent.cases for arm in ArmName]
    aimed = next(row for row in rows if row["has_aim"] and row["arm"] == ArmName.SERVICE)
    return {
        "seed": result.seed,
        "instances": INSTANCES,
        "rounds": result.extent.rounds,
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "aim": {
            "cpu_ratio_to_noop": AIM_CPU_RATIO,
            "measured": aimed["cpu_ratio_to_noop"],
            "ci95": aimed["ci95"],
            "is_met": aimed["cpu_ratio_to_noop"] <= AIM_CPU_RATIO,
        },
        "background_cpu_ms_per_second": {
            str(name): share * _MILLISECONDS for name, share in result.background_cpu_ratio.items()
        },
        "rows": rows,
    }


def _row(result: BenchResult, case: Case, arm: ArmName) -> Row:
    own, none = result.samples[case, arm], result.samples[case, ArmName.NONE]
    cpu = _service_cpu(result, case, arm)
    ratio = paired_ratio(cpu, _service_cpu(result, case, ArmName.NOOP), seed=result.seed)
    latencies = np.concatenate([sample.latencies_seconds for sample in own]) * _MILLISECONDS
    return {
        "body_bytes": case.body_bytes,
        "model": case.model,
        "sample_ratio": case.sample_ratio,
        "load": f"{case.per_second:g} requests/s" if case.per_second else f"{CONCURRENCY} at once",
        "arm": arm,
        "has_aim": case.has_aim,
        "requests": sum(sample.requests for sample in own),
        "cpu_us_per_request": float(np.median(cpu)) * _MICROSECONDS,
        "cpu_ratio_to_noop": ratio.median,
        "ci95": [ratio.low, ratio.high],
        "envoy_cpu_us_per_request": float(np.median(_envoy_cpu(own))) * _MICROSECONDS,
        "latency_ms": {"p50": float(np.quantile(latencies, 0.5)), "p99": float(np.quantile(latencies, 0.99))},
        "added_latency_ms_over_none": {
            f"p{round(100 * share)}": _milliseconds(
                paired_difference(_quantiles(own, share), _quantiles(none, share), seed=result.seed)
            )
            for share in (0.5, 0.99)
        },
    }


def _milliseconds(interval: Interval) -> dict[str, float]:
    return {name: value * _MILLISECONDS for name, value in asdict(interval).items()}


def _service_cpu(result: BenchResult, case: Case, arm: ArmName) -> list[float]:
    """CPU seconds per request by round, without what the process takes when nobody asks: that is no request's."""
    background = result.background_cpu_ratio[arm]
    return [
        (sample.service_cpu_seconds - background * sample.elapsed_seconds) / sample.requests
        for sample in result.samples[case, arm]
    ]


def _envoy_cpu(samples: Sequence[Sample]) -> list[float]:
    return [sample.envoy_cpu_seconds / sample.requests for sample in samples]


def _quantiles(samples: Sequence[Sample], share: float) -> list[float]:
    return [float(np.quantile(sample.latencies_seconds, share)) for sample in samples]


def show(summary: dict[str, Any], result: BenchResult, console: Console) -> None:
    """Print the table and whether the aim is met."""
    table = Table(title=f"One decision, {INSTANCES} instances", title_justify="left", pad_edge=False)
    for heading, justify in (
        ("load", "left"), ("arm", "left"), ("CPU µs", "right"), ("over no-op", "right"), ("95 %", "right"),
        ("Envoy µs", "right"), ("p50 ms", "right"), ("p99 ms", "right"), ("added p50 ms", "right"),
    ):  # fmt: skip
        table.add_column(
            heading, justify="right" if justify == "right" else "left", no_wrap=heading != "load"
        )
    rows = iter(summary["rows"])
    for case in result.extent.cases:
        for arm, row in zip(ArmName, rows, strict=False):
            table.add_row(
                case.label if arm is ArmName.SERVICE else "",
                arm,
                f"{row['cpu_us_per_request']:.0f}",
                f"{row['cpu_ratio_to_noop']:.2f}",
                f"{row['ci95'][0]:.2f}-{row['ci95'][1]:.2f}",
                f"{row['envoy_cpu_us_per_request']:.0f}",
                f"{row['latency_ms']['p50']:.2f}",
                f"{row['latency_ms']['p99']:.2f}",
                f"{row['added_latency_ms_over_none']['p50']['median']:.2f}",
                end_section=arm is ArmName.NONE,
            )
    console.print(table)
    aim = summary["aim"]
    verdict = "met" if aim["is_met"] else "missed"
    console.print(
        f"aim: CPU at most {aim['cpu_ratio_to_noop']:g} of the no-op service's at 2 KB, untraced: {verdict} "
        f"({aim['measured']:.2f}, 95 % {aim['ci95'][0]:.2f}-{aim['ci95'][1]:.2f})",
        highlight=False,
    )
