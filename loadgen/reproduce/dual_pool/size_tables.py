"""Tables and charts of the sizings."""

from __future__ import annotations

from loadgen.reproduce.dual_pool.arms import THRESHOLD, arm_of
from loadgen.reproduce.dual_pool.scale import COMPARED, LARGE_RATE, SMALL_RATE, THRESHOLDS
from loadgen.reproduce.dual_pool.shown import NONE, shown
from loadgen.reproduce.dual_pool.sizes import Sizes
from loadgen.reproduce.dual_pool.sizing_tasks import MACHINES
from loadgen.reproduce.dual_pool.traces import TITLES, TRACES
from loadgen.reproduce.findings import Chart, Mark, Series, Table
from loadgen.virtual.summary import Figure

_ARMS = ("published_baseline", "homogeneous", "honest", "honest_2k", "dual", "triple")


def fleet_table(sizes: Sizes) -> Table:
    """Instances that each arm needs, with what two pools save against both homogeneous ones."""
    rows = [
        (hardware.name, TITLES[trace], f"{rate:,.0f}", *_cells(sizes, trace, machine, rate))
        for machine, hardware in MACHINES.items()
        for trace in TRACES
        for rate in (SMALL_RATE, LARGE_RATE)
        if (trace, machine, "dual", rate) in sizes.by_cell
    ]
    return Table(
        title="Instances needed under the SLO",
        columns=(
            "machine",
            "trace",
            "req/s",
            *(arm_of(arm).title for arm in _ARMS),
            "saved vs 16",
            "saved vs 128",
            "closed form",
        ),
        rows=tuple(rows),
        note=(
            "P99 TTFT 2 s, P99 TPOT 80 ms, in each pool. Means over seeds with 95 % intervals; savings of two pools "
            "against the homogeneous fleets with 16 and 128 sequences, both balanced by the shortest queue; closed "
            "form is alpha (1 - 1/rho). 2,000 requests per second are two halves of 1,000: twice these figures. "
            "The A100 fleets are four slices of a quarter of the load."
        ),
    )


def _cells(sizes: Sizes, trace: str, machine: str, rate: float) -> tuple[str, ...]:
    dual = (trace, machine, "dual", rate)
    return (
        *(shown(sizes.instances((trace, machine, arm, rate))) for arm in _ARMS),
        shown(sizes.savings(dual, "homogeneous"), unit=" %"),
        shown(sizes.savings(dual, "honest"), unit=" %"),
        _per_cent(sizes.closed_savings(dual)),
    )


def threshold_table(sizes: Sizes) -> Table:
    """Instances and savings by threshold."""
    rows = []
    for trace in TRACES:
        best = best_savings(sizes, trace)
        for threshold in THRESHOLDS:
            cell = (trace, "published", f"dual_{threshold}", SMALL_RATE)
            saved = sizes.savings(cell, "homogeneous")
            if saved is None:
                continue
            share = NONE if not best else f"{100 * saved.value / best:.0f} %"
            rows.append(
                (
                    TITLES[trace],
                    f"{threshold:,}",
                    " + ".join(map(str, sizes.pools(cell))),
                    shown(saved, unit=" %"),
                    share,
                    _per_cent(sizes.closed_savings(cell)),
                )
            )
    return Table(
        title="Where to split",
        columns=("trace", "threshold", "instances", "saved vs 16", "of the best", "closed form"),
        rows=tuple(rows),
        note="100 requests per second. The short pool's KV memory stays: 256 slots at 4K, 128 at 8K, 64 at 16K.",
    )


def best_savings(sizes: Sizes, trace: str) -> float | None:
    """Largest savings over the thresholds, in per cent."""
    found = [
        saved.value
        for threshold in THRESHOLDS
        if (saved := sizes.savings((trace, "published", f"dual_{threshold}", SMALL_RATE), "homogeneous"))
    ]
    return max(found) if found else None


def threshold_chart(sizes: Sizes) -> Chart:
    """Savings over the threshold, simulated and by the formula."""
    series = []
    for trace in TRACES:
        points: list[tuple[float, Figure, float]] = []
        for threshold in THRESHOLDS:
            cell = (trace, "published", f"dual_{threshold}", SMALL_RATE)
            saved, closed = sizes.savings(cell, "homogeneous"), sizes.closed_savings(cell)
            if saved is not None and closed is not None:
                points.append((float(threshold), saved, closed))
        at = tuple(x for x, _, _ in points)
        series += [
            Series(
                label=TITLES[trace],
                x=at,
                y=tuple(figure.value for _, figure, _ in points),
                low=tuple(figure.low for _, figure, _ in points),
                high=tuple(figure.high for _, figure, _ in points),
            ),
            Series(
                label=f"{TITLES[trace]}, formula",
                x=at,
                y=tuple(closed for _, _, closed in points),
                mark=Mark.POINTS,
            ),
        ]
    return Chart(
        title="Savings hang on where the threshold lies",
        x_label="threshold, tokens",
        y_label="instances saved against 16 sequences, %",
        series=tuple(series),
        x_is_log=True,
        note="Lines: simulated. Points: alpha (1 - 1/rho).",
    )


def fleet_chart(sizes: Sizes, machine: str, rate: float) -> Chart:
    """Instances of the three arms that matter, by trace."""
    traces = [t for t in TRACES if (t, machine, "dual", rate) in sizes.by_cell]
    series = []
    for arm in COMPARED:
        figures = [sizes.instances((trace, machine, arm, rate)) for trace in traces]
        known = [(TITLES[t], f) for t, f in zip(traces, figures, strict=True) if f is not None]
        series.append(
            Series(
                label=arm_of(arm).title,
                x=tuple(name for name, _ in known),
                y=tuple(figure.value for _, figure in known),
                low=tuple(figure.low for _, figure in known),
                high=tuple(figure.high for _, figure in known),
                mark=Mark.BARS,
            )
        )
    return Chart(
        title=f"Instances under the SLO: {MACHINES[machine].name}, {rate:,.0f} requests/s",
        x_label="trace",
        y_label="instances",
        series=tuple(series),
        note=f"Two pools split at {THRESHOLD:,} tokens.",
    )


def _per_cent(value: float | None) -> str:
    return NONE if value is None else f"{value:.1f} %"
