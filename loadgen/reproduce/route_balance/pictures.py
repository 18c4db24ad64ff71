"""The study's charts."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from loadgen.reproduce.findings import Chart, Mark, Series
from loadgen.reproduce.route_balance.cells import Load
from loadgen.reproduce.route_balance.experiment import BUSY, CALM, GAMMA, RATES, SQUARE, Compared, Swept
from loadgen.reproduce.route_balance.families import (
    AVENGERS_SQ,
    BEST_ROUTE_SQ,
    MIN_MAX,
    ONE_ATTEMPT,
    RANDOM,
    ROUTE_BALANCE,
    VERIFIED,
)
from loadgen.reproduce.route_balance.frontier import front
from loadgen.reproduce.route_balance.measured import Floats, figure

_DRAWN = (VERIFIED, ONE_ATTEMPT, ROUTE_BALANCE, MIN_MAX, BEST_ROUTE_SQ, AVENGERS_SQ, RANDOM)


def frontiers(swept: Swept) -> Iterable[Chart]:
    """Quality against latency, and against price, at both rates."""
    for load in (CALM, BUSY):
        place = f"{swept.name}, {load.rate:.0f} requests/s"
        yield _frontier(swept, load, f"Quality and latency ({place})", by_price=False)
        yield _frontier(swept, load, f"Quality and price ({place})", by_price=True)


def by_rate(compared: Compared) -> Chart:
    """Mean latency over the rate."""
    loads = [Load(rate=rate) for rate in RATES]
    series = []
    for label, arm in compared.arms.items():
        if label not in _DRAWN:
            continue
        found = [figure(compared.found.seconds(arm, load)) for load in loads]
        series.append(
            Series(
                label=label,
                x=RATES,
                y=tuple(one.value for one in found),
                low=tuple(one.low for one in found),
                high=tuple(one.high for one in found),
            )
        )
    return Chart(
        title="Mean latency over the rate, at quality near that of RouteBalance with uniform weights",
        x_label="requests/s",
        y_label="mean latency (s)",
        series=tuple(series),
        note="Each arm at the point of its sweep with the nearest quality at 12 requests/s; the random one has no such point.",
    )


def bursts(compared: Compared) -> Chart:
    """Mean latency under a steady rate, a square wave and gamma bursts, all of 18 requests per second."""
    names = ("steady", "square 30/6", "gamma 0.3")
    loads = (Load(rate=18.0), SQUARE, GAMMA)
    series = []
    for label, arm in compared.arms.items():
        if label in _DRAWN:
            found = [figure(compared.found.seconds(arm, load)) for load in loads]
            series.append(
                Series(
                    label=label,
                    x=names,
                    y=tuple(one.value for one in found),
                    low=tuple(one.low for one in found),
                    high=tuple(one.high for one in found),
                    mark=Mark.BARS,
                )
            )
    return Chart(
        title="Mean latency under bursts, 18 requests/s on average",
        x_label="arrivals",
        y_label="mean latency (s)",
        series=tuple(series),
        note="The same settings as over the rate.",
    )


def _frontier(swept: Swept, load: Load, title: str, *, by_price: bool) -> Chart:
    series = []
    for label in _DRAWN:
        arms = swept.families[label]
        quality = np.array([swept.found.quality(arm, load)[0] for arm in arms])
        cost: Floats = np.array(
            [
                1e3 * swept.found.usd(arm, load)[0] if by_price else swept.found.seconds(arm, load)[0]
                for arm in arms
            ]
        )
        kept = front(cost, quality)
        series.append(
            Series(
                label=label,
                x=tuple(cost[kept].tolist()),
                y=tuple(quality[kept].tolist()),
                mark=Mark.POINTS if len(kept) == 1 else Mark.LINE,
            )
        )
    return Chart(
        title=title,
        x_label="USD per 1,000 requests" if by_price else "mean latency (s)",
        y_label="share of right answers",
        series=tuple(series),
        note="The points of each sweep that no other point of it beats in these two. Up and to the left is better.",
        x_is_log=not by_price,
    )
