"""What is swept: families of arms, each over the knob that trades quality, price and latency."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from extproc.decide.route_balance import QualityNorm
from loadgen.reproduce.route_balance.arms import Arm, Choice, Planned, Rival, Scored
from loadgen.reproduce.route_balance.balance import Balance, Weights
from loadgen.reproduce.route_balance.rivals import Dispatch

UNIFORM: Final = Weights(quality=1 / 3, cost=1 / 3, latency=1 / 3)


def _weights(quality: float, cost: float, latency: float) -> Weights:
    return Weights(quality=quality, cost=cost, latency=latency)


QUALITY_FIRST: Final = _weights(0.8, 0.1, 0.1)
COST_FIRST: Final = _weights(0.1, 0.8, 0.1)
LATENCY_FIRST: Final = _weights(0.1, 0.1, 0.8)

TUPLES: Final = (
    UNIFORM,
    QUALITY_FIRST,
    COST_FIRST,
    LATENCY_FIRST,
    _weights(0.6, 0.2, 0.2),
    _weights(0.2, 0.6, 0.2),
    _weights(0.2, 0.2, 0.6),
    _weights(0.45, 0.45, 0.1),
    _weights(0.45, 0.1, 0.45),
    _weights(0.1, 0.45, 0.45),
    _weights(0.6, 0.3, 0.1),
    _weights(0.6, 0.1, 0.3),
    _weights(0.3, 0.6, 0.1),
    _weights(0.1, 0.6, 0.3),
    _weights(0.3, 0.1, 0.6),
    _weights(0.1, 0.3, 0.6),
)
"""Sixteen, as many as the paper sweeps; which ones it took beyond the presets is not known."""

LINE: Final = tuple(
    _weights(1.0 - rest, rest / 2, rest / 2)
    for rest in (0.005, 0.01, 0.02, 0.035, 0.06, 0.1, 0.17, 0.27, 0.4, 0.55, 0.7, 0.9)
)
"""From quality alone to hardly any, so fine that estimates of different spread all show what they can do."""

CONFIDENCES: Final = (0.0, 0.3, 0.5, 0.7)
MATCH_CHANCES: Final = (0.35, 0.45, 0.55, 0.65, 0.75, 0.85, 0.9, 0.95)
PERFORMANCE_WEIGHTS: Final = (0.25, 0.33, 0.4, 0.47, 0.53, 0.6, 0.65, 0.7, 0.75, 0.8)

ONE_ATTEMPT_WORTHS: Final = (3.0, 5.0, 8.0, 13.0, 21.0, 34.0, 55.0, 90.0)
VERIFIED_WORTHS: Final = (5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 640.0)
SECONDS_PER_USD: Final = (0.0, 6e4)
"""What the plan weighs, every worth of a correct answer with every worth of a dollar: sixteen points too."""

_QUICK_PLANS: Final = (1, 5, 8, 14)
"""Of the sixteen: cheap, in between, and two for quality."""

ROUTE_BALANCE: Final = "RouteBalance"
MIN_MAX: Final = "RouteBalance min-max"
NEIGHBOUR_LINE: Final = "RouteBalance line"
FITTED_LINE: Final = "RouteBalance line our chances"
ROUTER_SCORE: Final = "router route_balance"
BEST_ROUTE_SQ: Final = "BEST-Route SQ"
BEST_ROUTE_RR: Final = "BEST-Route RR"
AVENGERS_SQ: Final = "Avengers-Pro SQ"
AVENGERS_RR: Final = "Avengers-Pro RR"
RANDOM: Final = "random"
ONE_ATTEMPT: Final = "plan one attempt"
VERIFIED: Final = "plan verified"
"""Labels; the line is another sweep of weights; SQ is shortest queue, RR round-robin."""

RANDOM_ARM: Final = Rival(choice=Choice.ANY, dispatch=Dispatch.RANDOM)
ALWAYS_LARGEST: Final = Rival(choice=Choice.ALWAYS, dispatch=Dispatch.SHORTEST_QUEUE, value=3.0)

FULL: Final = Balance(weights=UNIFORM)
STATIC: Final = replace(FULL, is_static=True)
NO_LATENCY: Final = Balance(weights=_weights(0.5, 0.5, 0.0), ties_by_latency=True)
UNBATCHED: Final = replace(FULL, is_batched=False)
NOT_LONGEST_FIRST: Final = replace(FULL, longest_first=False)
"""Arms 1, 4 and 3 of the paper's isolation; what arm 2 is, the sources at hand do not say."""


def families(*, is_quick: bool) -> Mapping[str, tuple[Arm, ...]]:
    """Families by label; a quick run takes a few points of each."""
    step = 4 if is_quick else 1
    tuples = TUPLES[:4] if is_quick else TUPLES
    return {
        ONE_ATTEMPT: _planned(ONE_ATTEMPT_WORTHS, is_quick=is_quick, is_verified=False),
        VERIFIED: _planned(VERIFIED_WORTHS, is_quick=is_quick, is_verified=True),
        ROUTE_BALANCE: tuple(Balance(weights=weights) for weights in tuples),
        MIN_MAX: tuple(Balance(weights=weights, is_min_max=True) for weights in tuples),
        NEIGHBOUR_LINE: tuple(Balance(weights=weights) for weights in LINE[::step]),
        FITTED_LINE: tuple(Balance(weights=weights, uses_fitted_quality=True) for weights in LINE[::step]),
        ROUTER_SCORE: tuple(Scored(weights=weights, norm=QualityNorm.RAW) for weights in tuples),
        BEST_ROUTE_SQ: _best_route(Dispatch.SHORTEST_QUEUE, step),
        BEST_ROUTE_RR: _best_route(Dispatch.ROUND_ROBIN, step),
        AVENGERS_SQ: _avengers(Dispatch.SHORTEST_QUEUE, step),
        AVENGERS_RR: _avengers(Dispatch.ROUND_ROBIN, step),
        RANDOM: (RANDOM_ARM,),
    }


def _planned(worths: tuple[float, ...], *, is_quick: bool, is_verified: bool) -> tuple[Arm, ...]:
    whole = tuple(
        Planned(worth_seconds=worth, seconds_per_usd=usd, is_verified=is_verified)
        for worth in worths
        for usd in SECONDS_PER_USD
    )
    return tuple(whole[position] for position in _QUICK_PLANS) if is_quick else whole


def _best_route(dispatch: Dispatch, step: int) -> tuple[Arm, ...]:
    four_way = (Rival(choice=Choice.BEST_ROUTE, dispatch=dispatch, value=value) for value in CONFIDENCES)
    matching = (
        Rival(choice=Choice.BEST_ROUTE_MATCH, dispatch=dispatch, value=value) for value in MATCH_CHANCES
    )
    return (*four_way, *matching)[::step]


def _avengers(dispatch: Dispatch, step: int) -> tuple[Arm, ...]:
    return tuple(
        Rival(choice=Choice.AVENGERS, dispatch=dispatch, value=value) for value in PERFORMANCE_WEIGHTS[::step]
    )
