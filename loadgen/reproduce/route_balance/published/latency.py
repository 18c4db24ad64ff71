"""Mean latency over rates and bursts, and the tail of the quality preset."""

from __future__ import annotations

from typing import Final

import numpy as np

from loadgen.reproduce.findings import Finding, Verdict
from loadgen.reproduce.route_balance.balance import Balance
from loadgen.reproduce.route_balance.cells import Load
from loadgen.reproduce.route_balance.experiment import BUSY, CALM, GAMMA, RATES, SQUARE, Compared, Swept
from loadgen.reproduce.route_balance.families import AVENGERS_SQ, BEST_ROUTE_SQ, FULL, QUALITY_FIRST
from loadgen.reproduce.route_balance.measured import RESAMPLES, Floats, Measured, figure
from loadgen.reproduce.route_balance.published.relative import latency_ratio
from loadgen.reproduce.route_balance.verdicts import judge_effect, judge_range
from loadgen.virtual.summary import Figure

_MATCHED: Final = (
    "rivals at the point of their sweep with the quality nearest to RouteBalance's at 12 requests/s"
)
_LARGEST_QUALITY: Final = Balance(weights=QUALITY_FIRST)


def latency(swept: Swept, compared: Compared) -> list[Finding]:
    """Uniform weights and rivals at a steady rate, rivals in bursts, and quality first."""
    return [
        _uniform_latency(compared.found),
        _uniform_share_of_smallest(compared.found),
        _best_route_slower(compared),
        _burst(compared, SQUARE, AVENGERS_SQ, key="square_avengers", published=2733 / 2577),
        _burst(compared, SQUARE, BEST_ROUTE_SQ, key="square_best_route", published=7107 / 2577),
        _burst(compared, GAMMA, AVENGERS_SQ, key="gamma_avengers", published=2473 / 2524),
        _burst(compared, GAMMA, BEST_ROUTE_SQ, key="gamma_best_route", published=4392 / 2524),
        _quality_preset_tail(swept.found),
    ]


def _uniform_latency(found: Measured) -> Finding:
    ours = figure(found.seconds(FULL, BUSY))
    return Finding(
        key="uniform_latency",
        claim="With uniform weights the mean latency stays at 2.3 to 2.8 s from 6 to 30 requests/s.",
        published="2.3 to 2.8 s",
        ours=ours,
        unit="s",
        verdict=judge_range(ours, 2.3 * 0.8, 2.8 * 1.2),
        reason=(
            f"at 30 requests/s; {found.seconds(FULL, Load(rate=RATES[0]))[0]:.2f} s at 6; within 20 % counts, since answer "
            "lengths and engines are not the paper's"
        ),
    )


def _uniform_share_of_smallest(found: Measured) -> Finding:
    shares = found.shares(FULL, CALM)
    ours = figure(np.full(RESAMPLES + 1, shares[0]))
    return Finding(
        key="uniform_share_of_smallest",
        claim="With uniform weights most requests go to the smallest model and next to none to the largest.",
        published="58 % / 11 % / 31 % / 0-1 %",
        ours=Figure(100 * ours.value, 100 * ours.low, 100 * ours.high),
        unit="%",
        verdict=Verdict.HOLDS if _has_shape(shares) else Verdict.CONDITIONAL,
        reason=(
            "share of the smallest at 12 requests/s; all four: "
            + " / ".join(f"{100 * one:.0f} %" for one in shares)
            + "; holds when the smallest has the most and the largest under 2 %"
        ),
    )


def _has_shape(shares: Floats) -> bool:
    return bool(shares.argmax() == 0 and shares[-1] < 0.02)


def _best_route_slower(compared: Compared) -> Finding:
    ours = figure(latency_ratio(compared.found, compared.arms[BEST_ROUTE_SQ], BUSY))
    return Finding(
        key="best_route_slower",
        claim="BEST-Route, scored concurrently, is several times slower at 30 requests/s.",
        published="2.6 to 4.1 x",
        ours=ours,
        unit="x",
        verdict=judge_effect(ours, (2.6, 4.1)),
        reason=f"{_MATCHED}, shortest queue; at unequal quality the ratio says how much the rival uses the largest model",
    )


def _burst(compared: Compared, load: Load, label: str, *, key: str, published: float) -> Finding:
    what = (
        "a square wave of 30 and 6 requests/s" if load == SQUARE else "gamma bursts of 0.3 at 18 requests/s"
    )
    ours = figure(latency_ratio(compared.found, compared.arms[label], load))
    name = label.removesuffix(" SQ")
    return Finding(
        key=key,
        claim=f"{name} is {'slower' if published > 1 else 'faster'} than RouteBalance under {what}.",
        published=f"{published:.2f} x",
        ours=ours,
        unit="x",
        verdict=judge_effect(ours, (published * 0.9, published * 1.1)),
        reason=f"{_MATCHED}, shortest queue, concurrent scoring; within 10 % counts as the published size",
    )


def _quality_preset_tail(found: Measured) -> Finding:
    ours = figure(found.quantiles(_LARGEST_QUALITY, BUSY, 0.99))
    return Finding(
        key="quality_preset_tail",
        claim="Quality first (0.8) overloads the largest model at 30 requests/s: its P99 latency explodes.",
        published="111 s",
        ours=ours,
        unit="s",
        verdict=judge_effect(ours, (60.0, 160.0), none=10.0),
        reason=(
            "raw quality; how far depends on the share that the largest model gets "
            f"(here {100 * found.shares(_LARGEST_QUALITY, BUSY)[3]:.0f} %) and on the length of the run: a queue that grows has no "
            "P99; above 10 s counts as exploded"
        ),
    )
