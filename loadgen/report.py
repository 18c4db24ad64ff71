"""Sums up a run: a dictionary for machines, a table for people. Quantiles are exact and interpolated linearly."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from loadgen.client import RequestRecord

LAG_WARNING_SECONDS = 0.05
"""With a 99th percentile of the schedule lag above this, the generator itself was a bottleneck."""

Summary = dict[str, Any]


def summarize(
    records: Sequence[RequestRecord],
    *,
    workload: str,
    seed: int,
    arrivals: str = "",
    target: str = "",
    pools: Mapping[str, str] | None = None,
    clipped_prompts: int = 0,
) -> Summary:
    """Sum up the records of one run.

    Latencies count successful requests only; errors are counted apart. Seconds throughout.

    Args:
        records: As `run_load` returned them.
        workload: The line that says where the requests come from.
        seed: Seed of the schedule.
        arrivals: The line that says how they arrive.
        target: Where the requests went.
        pools: Pool by instance, named as in `x-inference-pod` or by address; None when unknown.
        clipped_prompts: Prompts that were cut to the size limit.
    """
    served = [record for record in records if record.error is None]
    failed = [record for record in records if record.error is not None]
    wall = max((record.intended_start_seconds + record.e2e_seconds for record in records), default=0.0)
    attempts = [record.attempts for record in records if record.attempts is not None]
    summary: Summary = {
        "target": target,
        "workload": workload,
        "arrivals": arrivals,
        "seed": seed,
        "requests": len(records),
        "streamed": sum(record.stream for record in records),
        "clipped_prompts": clipped_prompts,
        "errors": len(failed),
        "errors_by_kind": dict(Counter(_error_label(record) for record in failed).most_common()),
        "error_samples": _samples(failed),
        "retries": sum(count - 1 for count in attempts),
        "retried_requests": sum(count > 1 for count in attempts),
        "attempts_known": len(attempts),
        **_latencies(served),
        "duration_s": wall,
        "throughput": _throughput(served, wall),
        "tokens": _tokens(served),
        "by_instance": _groups(records, lambda record: record.instance),
        "by_model": _groups(records, lambda record: record.answered_model),
        "by_pool": _groups(records, lambda record: (pools or {}).get(record.instance, "")),
        "schedule_lag_s": _lag(records),
    }
    return summary


def quantiles(values: Iterable[float | None]) -> dict[str, float] | None:
    """p50, p90, p99 and mean of the values that are not None; None when there are none."""
    known = np.array([value for value in values if value is not None], dtype=np.float64)
    if not len(known):
        return None
    p50, p90, p99 = (float(value) for value in np.quantile(known, (0.5, 0.9, 0.99)))
    return {"p50": p50, "p90": p90, "p99": p99, "mean": float(known.mean())}


def tpot_seconds(record: RequestRecord) -> float | None:
    """Time per output token after the first one; None when it cannot be known."""
    tokens = record.completion_tokens
    if record.ttft_seconds is None or tokens is None or tokens < 2:
        return None
    return (record.e2e_seconds - record.ttft_seconds) / (tokens - 1)


def _latencies(served: Sequence[RequestRecord]) -> Summary:
    return {
        "ttft_s": quantiles(record.ttft_seconds for record in served),
        "e2e_s": quantiles(record.e2e_seconds for record in served),
        "tpot_s": quantiles(tpot_seconds(record) for record in served),
    }


def _throughput(served: Sequence[RequestRecord], wall: float) -> Summary:
    if wall <= 0:
        return {"requests_per_s": 0.0, "output_tokens_per_s": 0.0, "received_bytes_per_s": 0.0}
    return {
        "requests_per_s": len(served) / wall,
        "output_tokens_per_s": sum(record.completion_tokens or 0 for record in served) / wall,
        "received_bytes_per_s": sum(record.bytes_received for record in served) / wall,
    }


def _tokens(served: Sequence[RequestRecord]) -> Summary:
    return {
        "prompt": sum(record.prompt_tokens or 0 for record in served),
        "output": sum(record.completion_tokens or 0 for record in served),
        "usage_known": sum(record.prompt_tokens is not None for record in served),
    }


def _lag(records: Sequence[RequestRecord]) -> Summary:
    lags = np.array([record.lag_seconds for record in records], dtype=np.float64)
    if not len(lags):
        return {"p50": 0.0, "p99": 0.0, "max": 0.0, "is_bottleneck": False}
    p50, p99 = (float(value) for value in np.quantile(lags, (0.5, 0.99)))
    return {"p50": p50, "p99": p99, "max": float(lags.max()), "is_bottleneck": p99 > LAG_WARNING_SECONDS}


def _groups(records: Sequence[RequestRecord], name_of: Callable[[RequestRecord], str]) -> Summary:
    """Figures per group, largest first; requests without a name are left out."""
    groups: dict[str, list[RequestRecord]] = {}
    for record in records:
        if name := name_of(record):
            groups.setdefault(name, []).append(record)
    return {
        name: {
            "requests": len(members),
            "errors": sum(record.error is not None for record in members),
            **_latencies([record for record in members if record.error is None]),
        }
        for name, members in sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))
    }


def _error_label(record: RequestRecord) -> str:
    return f"status {record.status}" if record.error == "status" else str(record.error)


def _samples(failed: Sequence[RequestRecord]) -> dict[str, str]:
    """What the first failure of each kind said."""
    samples: dict[str, str] = {}
    for record in failed:
        samples.setdefault(_error_label(record), record.error_detail)
    return samples


def print_table(summary: Summary, console: Console) -> None:
    """Print a summary for people: totals, latencies, then who served; fits 80 columns."""
    console.print(summary["workload"], style="bold", highlight=False)
    console.print(summary["arrivals"], style="dim", highlight=False)
    if summary["clipped_prompts"]:
        console.print(
            f"{summary['clipped_prompts']} prompts clipped to the size limit", style="dim", highlight=False
        )
    console.print(_totals(summary))
    console.print()
    console.print(_latency_table(summary))
    for key, label in (("by_pool", "pool"), ("by_model", "model"), ("by_instance", "instance")):
        if summary[key]:
            console.print()
            console.print(_group_table(label, summary[key]))
    for label, count in summary["errors_by_kind"].items():
        detail = " ".join(summary["error_samples"][label].split())[:200]
        console.print(f"\n{count} x {label}, such as: {detail}", style="red", markup=False, highlight=False)
    lag = summary["schedule_lag_s"]
    if lag["is_bottleneck"]:
        console.print(
            f"\nThe load generator itself was a bottleneck: requests left up to {lag['max']:.2f} s late "
            f"(p99 {lag['p99']:.2f} s). Latencies include that; lower the rate or give it more CPU.",
            style="yellow",
            highlight=False,
        )


def _totals(summary: Summary) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column(justify="right")
    table.add_column(style="bold")
    table.add_column(justify="right")
    lag, throughput = summary["schedule_lag_s"], summary["throughput"]
    known = summary["attempts_known"]
    table.add_row("requests", str(summary["requests"]), "streamed", str(summary["streamed"]))
    table.add_row("errors", str(summary["errors"]), "duration", f"{summary['duration_s']:.1f} s")
    table.add_row(
        "retries",
        str(summary["retries"]) if known else "not told",
        "throughput",
        f"{throughput['requests_per_s']:.2f} requests/s",
    )
    table.add_row("seed", str(summary["seed"]), "output", f"{throughput['output_tokens_per_s']:.0f} tokens/s")
    table.add_row("lag p99", _milliseconds(lag["p99"]), "lag max", _milliseconds(lag["max"]))
    return table


def _latency_table(summary: Summary) -> Table:
    table = Table("latency", box=None, header_style="bold", padding=(0, 2, 0, 0))
    for column in ("p50", "p90", "p99", "mean"):
        table.add_column(column, justify="right")
    for key, label in (
        ("ttft_s", "time to first token (streamed)"),
        ("e2e_s", "end to end"),
        ("tpot_s", "per output token"),
    ):
        table.add_row(label, *_cells(summary[key], ("p50", "p90", "p99", "mean")))
    return table


def _group_table(label: str, groups: Summary) -> Table:
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column(label, overflow="ellipsis", no_wrap=True)
    for column in ("requests", "errors", "ttft p50", "ttft p99", "e2e p50", "e2e p99"):
        table.add_column(column, justify="right", no_wrap=True)
    for name, group in groups.items():
        table.add_row(
            name,
            str(group["requests"]),
            str(group["errors"]),
            *_cells(group["ttft_s"], ("p50", "p99")),
            *_cells(group["e2e_s"], ("p50", "p99")),
        )
    return table


def _cells(figures: Mapping[str, float] | None, names: Sequence[str]) -> list[str]:
    return ["-"] * len(names) if figures is None else [_duration(figures[name]) for name in names]


def _duration(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else _milliseconds(seconds)


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds >= 0.1 else f"{seconds * 1000:.1f} ms"
