"""What the demo tells: a summary for machines, tables and one trace for people, and whether all went well."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from extproc.telemetry import attributes
from extproc.telemetry.trace_tree import SpanNode, TraceTree
from extproc.telemetry.trace_view import render_trace
from loadgen.demo.run import SETTLE_SECONDS, DemoResult
from loadgen.report import print_table


def demo_summary(result: DemoResult) -> dict[str, Any]:
    """The figures of `out/demo/summary.json`."""
    client = result.summary
    return {
        "requests": client["requests"],
        "errors": client["errors"],
        "errors_by_kind": client["errors_by_kind"],
        "retries": client["retries"],
        "workload": list(result.workloads),
        "seed": client["seed"],
        "ttft_s": client["ttft_s"],
        "e2e_s": client["e2e_s"],
        "tpot_s": client["tpot_s"],
        "tokens_estimate": _estimate(result),
        "pools": _pools(result),
        "traces": {
            "total": result.traces["summary"]["total"],
            "joined": result.traces["summary"]["joined"],
        },
        "in_flight_at_end": result.load["requests_in_flight"],
        "envoy": result.counters,
        "by_instance": {name: group["requests"] for name, group in client["by_instance"].items()},
        "schedule_lag_s": client["schedule_lag_s"],
        "quality": {"questions": result.questions, "arms": {arm.name: asdict(arm) for arm in result.arms}},
    }


def problems(result: DemoResult) -> list[str]:
    """What did not go as it should; empty when all did."""
    client, traces = result.summary, result.traces["summary"]
    found = []
    failed = sum(arm.failed for arm in result.arms)
    if failed:
        found.append(f"{failed} questions got no answer")
    if client["errors"]:
        found.append(f"{client['errors']} requests failed: {client['errors_by_kind']}")
    if traces["total"] != client["requests"]:
        found.append(f"{traces['total']} traces for {client['requests']} requests")
    if traces["joined"] != traces["total"]:
        found.append(f"only {traces['joined']} of {traces['total']} traces are joined")
    if left := result.load["requests_in_flight"]:
        found.append(_left_on_the_book(left))
    if result.counters["rejected_header_mutations"]:
        found.append(f"Envoy rejected {result.counters['rejected_header_mutations']} header mutations")
    return found


def _left_on_the_book(requests: int) -> str:
    counted = "1 request is" if requests == 1 else f"{requests} requests are"
    return (
        f"{counted} still on the load book {SETTLE_SECONDS:g} s after the last answer, expected none: the book is where the "
        "service charges each request to its instance until Envoy's access log says that it ended. "
        "See service.log and envoy.log beside summary.json for what became of the log stream, and run the demo again"
    )


def show(result: DemoResult, console: Console) -> None:
    """Print what happened."""
    console.print()
    print_table(result.summary, console)
    console.print()
    console.print(_decisions(result))
    trace = _telling_trace(result)
    if trace is not None:
        console.print("\n[bold]One request's trace[/bold], as `ttca traces` shows it:")
        console.print(render_trace(trace))
    console.print()
    console.print(
        "[bold]Wrong answers retried inside Envoy[/bold]: the same questions at the same times, routed twice"
    )
    console.print(_arms(result))
    console.print(
        "plain: clients get what the least busy model says; a wrong answer ends their clock, too.\n"
        "verified: the answer is held against the JSON schema or x-ttca-expect, and a rejected one is retried on\n"
        "the next model while that is worth it.",
        style="dim",
        highlight=False,
    )
    console.print(result.questions, style="dim", highlight=False)
    if result.verified is not None:
        console.print("\n[bold]One of these questions[/bold], rejected and retried:")
        console.print(render_trace(result.verified))
    console.print()


def _arms(result: DemoResult) -> Table:
    table = Table(
        "routing", "right", "JSON schema", "expectation", "mean time", "p95", "tries", "rescued by a retry",
        box=None, header_style="bold", padding=(0, 2, 0, 0),
    )  # fmt: skip
    for arm in result.arms:
        table.add_row(
            arm.name,
            f"{arm.correct} of {arm.questions} ({arm.correct / arm.questions:.0%})",
            f"{arm.correct_json} of {(arm.questions + 1) // 2}",
            f"{arm.correct - arm.correct_json} of {arm.questions // 2}",
            f"{arm.mean_seconds:.1f} s",
            f"{arm.p95_seconds:.1f} s",
            f"{arm.attempts:.2f}",
            str(arm.retried_to_correct),
        )
    return table


def _spans(result: DemoResult) -> Iterator[SpanNode]:
    for trace in result.traces["traces"]:
        yield from _below(trace["roots"])


def _below(nodes: list[SpanNode]) -> Iterator[SpanNode]:
    for node in nodes:
        yield node
        yield from _below(node["children"])


def _estimate(result: DemoResult) -> dict[str, Any]:
    """How the prompt estimates compare with what the instances counted."""
    errors = np.array(
        [
            span["attributes"][attributes.ESTIMATE_ERROR]
            for span in _spans(result)
            if attributes.ESTIMATE_ERROR in span["attributes"]
        ],
        dtype=np.float64,
    )
    if not len(errors):
        return {"samples": 0, "mape": None, "under_rate": None}
    return {
        "samples": len(errors),
        "mape": float(np.abs(errors).mean()),
        "under_rate": float((errors < 0).mean()),
    }


def _pools(result: DemoResult) -> dict[str, dict[str, Any]]:
    pools: dict[str, dict[str, Any]] = {}
    for span in _spans(result):
        values = span["attributes"]
        if attributes.REASON not in values or attributes.POOL not in values:
            continue
        pool = pools.setdefault(str(values[attributes.POOL]), {"requests": 0, "reasons": {}})
        reason = str(values[attributes.REASON]).partition(":")[0]
        pool["requests"] += 1
        pool["reasons"][reason] = pool["reasons"].get(reason, 0) + 1
    return pools


def _decisions(result: DemoResult) -> Table:
    table = Table("decisions", "", box=None, header_style="bold", padding=(0, 2, 0, 0))
    for name, pool in sorted(_pools(result).items()):
        reasons = ", ".join(f"{count} by {reason}" for reason, count in pool["reasons"].items())
        table.add_row(f"pool {name}", f"{pool['requests']} requests ({reasons})")
    estimate = _estimate(result)
    if estimate["samples"]:
        table.add_row(
            "prompt tokens",
            f"estimated within {estimate['mape']:.1%} on average, {estimate['under_rate']:.0%} too low, "
            f"over {estimate['samples']} answers that told their usage",
        )
    retried = result.counters["upstream_rq_retry_success"]
    table.add_row(
        "retries", f"{retried} succeeded on the next instance of the plan ({result.faulty} had failed)"
    )
    traces = result.traces["summary"]
    table.add_row("traces", f"{traces['joined']} of {traces['total']} join Envoy's and the service's spans")
    return table


def _telling_trace(result: DemoResult) -> TraceTree | None:
    """The latest trace with a retry; without one, the latest."""
    traces = result.traces["traces"]
    for trace in reversed(traces):
        if any(
            span["attributes"].get(attributes.ATTEMPTS, 1) not in (0, 1) for span in _below(trace["roots"])
        ):
            return trace
    return traces[-1] if traces else None
