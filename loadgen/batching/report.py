"""The study as a table, as figures, and as a page of the docs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from rich.table import Table

from loadgen.batching.gates import RULES
from loadgen.batching.study import BURST_VARIATION, INSTANCES, SLOTS, Row, Scenario
from loadgen.virtual.summary import Figure

_HEAD: Final = """\
# Does it pay to collect requests before deciding on them?

RouteBalance (arXiv 2606.17949) collects requests for 50 to 200 ms and assigns the longest expected answer first (LPT). `make batching` asks in
[virtual time](virtual-time.md) whether the service should do so. {source}

**{answer}**
"""

_TAIL: Final = """\

Change is against deciding on each request as it comes: the same requests at the same moments, differences taken seed by seed, Student's 95 % interval over {seeds} seeds of
{requests:,} requests each. Time runs from the arrival to the accepted answer or to giving up, the window included. A decision takes 2 ms in all rows.

| rule | means |
| --- | --- |
| what came meanwhile | whatever has come while the decider was busy is a batch: nobody ever waits for others |
| window only with queues | RouteBalance's windows, and none while no instance has a queue |
| RouteBalance's windows | 4 requests or 50 ms, 16 or 100 ms, 32 or 200 ms, by the share of instances with a queue (below 0.3, below 0.7, above) |
| in order | the same windows without LPT: what waiting costs, apart from what the order gains |

Five models with {instances} instances each, at most {slots} sequences on one, so that queues form. `route_balance` (balanced, raw) gives one answer; `first_correct` verifies
and tries again. Bursts have gamma-distributed gaps with a coefficient of variation of {variation:g}. Engines, gateway and router are those of [virtual-time.md](virtual-time.md).
What it means for the service stands in [ADR {adr}](adr/{adr_file}).
"""

ADR: Final = (18, "0018-no-micro-batches.md")


def table(rows: Sequence[Row]) -> Table:
    """For the terminal."""
    drawn = Table(title="change against deciding on each request as it comes")
    for column in ("scenario", "rule", "mean", "change of the mean", "of the 95th percentile", "success", ""):
        drawn.add_column(column)
    for row in rows:
        drawn.add_row(row.scenario.title, row.rule.title, *_cells(row))
    return drawn


def page(rows: Sequence[Row], *, is_recorded: bool, requests: int, seeds: int) -> str:
    """For the docs."""
    source = (
        "Questions and answers are recorded ones (ZeroEval)."
        if is_recorded
        else "Questions are generated ones, since the recorded ones were not there."
    )
    lines = [_HEAD.format(source=source, answer=answer(rows))]
    for scenario in dict.fromkeys(row.scenario for row in rows):
        lines += [_section(scenario, [row for row in rows if row.scenario == scenario])]
    tail = _TAIL.format(
        seeds=seeds,
        requests=requests,
        instances=INSTANCES,
        slots=SLOTS,
        variation=BURST_VARIATION,
        adr=ADR[0],
        adr_file=ADR[1],
    )
    return "\n".join(lines) + tail


def answer(rows: Sequence[Row]) -> str:
    """Count the verdicts of all rules but the first, with what chance alone would give."""
    verdicts = [row.verdict for row in rows if row.rule is not RULES[0]]
    faster, slower = verdicts.count("faster"), verdicts.count("slower")
    return (
        f"Of {len(verdicts)} comparisons, {faster} came out faster and {slower} slower than deciding at once; with no "
        f"difference at all, {0.025 * len(verdicts):.1f} of either are expected by chance."
    )


def document(rows: Sequence[Row], *, is_recorded: bool, requests: int, seeds: int) -> dict[str, Any]:
    """As JSON-able figures."""
    return {
        "is_recorded": is_recorded,
        "requests": requests,
        "seeds": seeds,
        "rows": [
            {
                "scenario": row.scenario.title,
                "rule": row.rule.title,
                "mean_seconds": row.mean_seconds,
                "mean_change": _numbers(row.mean_change),
                "p95_change": _numbers(row.p95_change),
                "success_change_points": _numbers(row.success_change),
                "verdict": row.verdict,
            }
            for row in rows
        ],
    }


def _section(scenario: Scenario, rows: Sequence[Row]) -> str:
    lines = [
        f"## {scenario.title}",
        "",
        "| rule | mean, s | change of the mean | of the 95th percentile | of the success, points | |",
        "| --- | ---: | ---: | ---: | ---: | --- |",
    ]
    for row in rows:
        cells = _cells(row) if row.rule is not RULES[0] else (f"{row.mean_seconds:.2f}", "", "", "", "")
        lines.append(f"| {row.rule.title} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _cells(row: Row) -> tuple[str, ...]:
    return (
        f"{row.mean_seconds:.2f}",
        _percent(row.mean_change),
        _percent(row.p95_change),
        f"{row.success_change.value:+.1f} [{row.success_change.low:+.1f}, {row.success_change.high:+.1f}]",
        row.verdict,
    )


def _percent(figure: Figure) -> str:
    return f"{figure.value:+.1%} [{figure.low:+.1%}, {figure.high:+.1%}]"


def _numbers(figure: Figure) -> dict[str, float]:
    return {"value": figure.value, "low": figure.low, "high": figure.high}
