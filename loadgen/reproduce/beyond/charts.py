"""The study's pictures."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from loadgen.reproduce.beyond.arms import ARMS, OURS, OWN
from loadgen.reproduce.beyond.frontier import Frontiers, Reading, against_best, at_share, mean_ratio
from loadgen.reproduce.findings import Chart, Mark, Series

EQUAL_SUCCESS = 0.8
"""Final success at which arms are compared in pictures."""

SHOWN: Sequence[str] = (OURS, "laar", "stacked_laar", "stacked_ratio", "stacked_low_threshold", "load_aware")
"""Arms that are drawn; the tables have all."""


def all_charts(loads: Mapping[float, Frontiers], high: float) -> tuple[Chart, ...]:
    """The pictures; `high` is the rate whose frontiers are shown."""
    idle = min(loads)
    return (
        _by_load(
            loads, "all_seconds", f"Mean time over all requests at a success of {EQUAL_SUCCESS:g}", "seconds"
        ),
        _ratios(loads),
        _frontier(loads[high], "all_seconds", f"Success against time over all requests, {high:g} requests/s"),
        _frontier(loads[idle], "all_seconds", f"The same on an idle fleet, {idle:g} request/s"),
        _frontier(
            loads[high], "ttca_seconds", f"Success against TTCA of solved requests, {high:g} requests/s"
        ),
        _within(loads, 10),
        _bars(
            loads[high],
            "usd",
            1000.0,
            f"Dollars per 1000 correct answers, success {EQUAL_SUCCESS:g}, {high:g}/s",
        ),
        _bars(
            loads[high],
            "gpu_seconds",
            1.0,
            f"GPU-seconds per correct answer, success {EQUAL_SUCCESS:g}, {high:g}/s",
        ),
    )


def _by_load(loads: Mapping[float, Frontiers], metric: str, title: str, unit: str) -> Chart:
    series = [
        _series(ARMS[arm].title, loads, [at_share(loads[rate][arm], metric, EQUAL_SUCCESS) for rate in loads])
        for arm in SHOWN
    ]
    return Chart(
        title=title,
        x_label="requests per second",
        y_label=unit,
        series=tuple(one for one in series if one.x),
        note="Each arm at the point of its frontier that reaches this success.",
        y_is_log=True,
    )


def _ratios(loads: Mapping[float, Frontiers]) -> Chart:
    baselines = [arm for arm in ARMS if arm not in OWN]
    groups = {
        "over LAAR": ["laar"],
        "over best stacked": [arm for arm in baselines if arm.startswith("stacked")],
        "over best of all": baselines,
    }
    return Chart(
        title="The fused plan's mean time over all requests, as a share of the baselines'",
        x_label="requests per second",
        y_label="ratio",
        series=tuple(
            _series(
                name,
                loads,
                [mean_ratio(against_best(loads[rate], OURS, arms, "all_seconds")) for rate in loads],
            )
            for name, arms in groups.items()
        ),
        note="Geometric mean over all successes that a baseline's retry caps reach; below the dashed line the plan needs less.",
        reference=1.0,
    )


def _frontier(frontiers: Frontiers, metric: str, title: str) -> Chart:
    series = []
    for arm in SHOWN:
        points = sorted(frontiers[arm], key=lambda point: point.values["success"])
        bounds = [point.figure("success") for point in points]
        series.append(
            Series(
                label=ARMS[arm].title,
                x=tuple(point.values[metric] for point in points),
                y=tuple(bound.value for bound in bounds),
                low=tuple(bound.low for bound in bounds),
                high=tuple(bound.high for bound in bounds),
            )
        )
    return Chart(
        title=title,
        x_label="seconds",
        y_label="final success",
        series=tuple(series),
        note="One mark per retry cap, or per worth of a correct answer; up and to the left is better.",
        x_is_log=True,
    )


def _within(loads: Mapping[float, Frontiers], limit: int) -> Chart:
    series = []
    for arm in SHOWN:
        figures = [
            max((point.figure(f"within_{limit}") for point in loads[rate][arm]), key=lambda one: one.value)
            for rate in loads
        ]
        series.append(
            Series(
                label=ARMS[arm].title,
                x=tuple(loads),
                y=tuple(figure.value for figure in figures),
                low=tuple(figure.low for figure in figures),
                high=tuple(figure.high for figure in figures),
            )
        )
    return Chart(
        title=f"Correct answers within {limit} s, each arm at its best knob",
        x_label="requests per second",
        y_label="share of all requests",
        series=tuple(series),
    )


def _bars(frontiers: Frontiers, metric: str, scale: float, title: str) -> Chart:
    readings = {ARMS[arm].title: at_share(points, metric, EQUAL_SUCCESS) for arm, points in frontiers.items()}
    figures = {title: reading.figure() for title, reading in readings.items() if math.isfinite(reading.value)}
    known = all(math.isfinite(figure.low) for figure in figures.values())
    return Chart(
        title=title,
        x_label="arm",
        y_label=title.split(",", maxsplit=1)[0],
        series=(
            Series(
                label="all arms",
                x=tuple(figures),
                y=tuple(scale * figure.value for figure in figures.values()),
                low=tuple(scale * figure.low for figure in figures.values()) if known else (),
                high=tuple(scale * figure.high for figure in figures.values()) if known else (),
                mark=Mark.BARS,
            ),
        ),
    )


def _series(label: str, rates: Iterable[float], readings: Sequence[Reading]) -> Series:
    """What is known of some readings; bands only when all of it has an interval."""
    known = [
        (rate, one.figure()) for rate, one in zip(rates, readings, strict=True) if math.isfinite(one.value)
    ]
    has_band = all(math.isfinite(figure.low) for _, figure in known)
    return Series(
        label=label,
        x=tuple(rate for rate, _ in known),
        y=tuple(figure.value for _, figure in known),
        low=tuple(figure.low for _, figure in known) if has_band else (),
        high=tuple(figure.high for _, figure in known) if has_band else (),
    )
