"""The arms: ours over stop prices, the baselines over retry caps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from extproc.fleet.snapshot import FleetTable
from loadgen.reproduce.beyond.policies import (
    FittedKnowledge,
    FittingForecast,
    LengthsByText,
    RoundRobin,
    Stacked,
    rank_by_ratio,
    rank_by_threshold,
)
from loadgen.virtual.arms import Workbench, first_correct
from loadgen.virtual.baselines import Laar, LoadAware
from loadgen.virtual.deciders import Decider, PolicyDecider
from loadgen.virtual.fleet import VirtualFleet
from loadgen.virtual.knowledge import Knowledge, Level
from loadgen.virtual.policy import Policy

CAPS = (1.0, 2.0, 3.0, 4.0, 5.0)
WORTHS = (1.0, 1.5, 1.75, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0, 32.0, 64.0, 128.0, 1e6)
QUICK_CAPS = (1.0, 3.0, 5.0)
"""Retry caps."""

QUICK_WORTHS = (1.0, 1.5, 2.0, 3.0, 4.0, 8.0, 12.0, 16.0, 32.0, 64.0, 1e6)

THRIFTY_WORTHS = (4.0, 8.0, 12.0, 16.0, 24.0, 64.0)

OURS = "plan"
THRIFTY = "thrifty_plan"
OWN = (OURS, THRIFTY)
"""Arms that are the product's own; the others are baselines."""

SECONDS_PER_USD = 1000.0
"""What a dollar is worth to the thrifty plan: about the GPU time that it rents."""


class Bench:
    """What the arms share: what was learned from the training part of the questions.

    Args:
        workbench: The questions and the fits.
    """

    def __init__(self, workbench: Workbench) -> None:
        questions = workbench.questions
        self.workbench = workbench
        self.published = Knowledge(
            questions.training, questions.models, level=Level.LANGUAGE, is_coupled=False
        )
        self.fitted = FittedKnowledge(workbench.quality, questions.models)
        self.lengths = LengthsByText(questions.training, questions.models)


DeciderMaker = Callable[[Bench, VirtualFleet, float, np.random.Generator], Decider]


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """A policy with a knob.

    Attributes:
        title: Name for tables and charts.
        values: Values of the knob in a full run: retry caps, or what a correct answer is worth in seconds.
        quick_values: The same in a quick run.
        decider: Makes a decider for one value.
    """

    title: str
    values: tuple[float, ...]
    quick_values: tuple[float, ...]
    decider: DeciderMaker


def _capped(
    title: str, choose: Callable[[Bench, FittingForecast, int], Policy], *, keeps_pools: bool = False
) -> Arm:
    def decider(bench: Bench, fleet: VirtualFleet, value: float, _rng: np.random.Generator) -> Decider:
        table = FleetTable.of(fleet.topology)
        forecast = FittingForecast(table, bench.lengths, keeps_pools=keeps_pools)
        return PolicyDecider(fleet.topology, choose(bench, forecast, int(value)), forecast)

    return Arm(title=title, values=CAPS, quick_values=QUICK_CAPS, decider=decider)


def _threshold(share: float) -> Arm:
    return _capped(
        f"stacked, threshold {share:g}",
        lambda bench, forecast, cap: Stacked(
            forecast, rank_by_threshold(forecast, bench.fitted, share=share), most_attempts=cap
        ),
        keeps_pools=True,
    )


def _ours(*, seconds_per_usd: float) -> DeciderMaker:
    make = first_correct(is_verified=True, seconds_per_usd=seconds_per_usd)

    def decider(bench: Bench, fleet: VirtualFleet, value: float, rng: np.random.Generator) -> Decider:
        return make(bench.workbench, fleet, value, rng)

    return decider


ARMS: Mapping[str, Arm] = {
    OURS: Arm(
        title="fused plan", values=WORTHS, quick_values=QUICK_WORTHS, decider=_ours(seconds_per_usd=0.0)
    ),
    THRIFTY: Arm(
        title="fused plan, money weighed",
        values=THRIFTY_WORTHS,
        quick_values=THRIFTY_WORTHS[1:],
        decider=_ours(seconds_per_usd=SECONDS_PER_USD),
    ),
    "laar": _capped("LAAR", lambda bench, forecast, cap: Laar(forecast, bench.published, most_attempts=cap)),
    "laar_fitted": _capped(
        "LAAR, our chances", lambda bench, forecast, cap: Laar(forecast, bench.fitted, most_attempts=cap)
    ),
    "stacked_laar": _capped(
        "stacked, pools + LAAR",
        lambda bench, forecast, cap: Laar(forecast, bench.fitted, most_attempts=cap),
        keeps_pools=True,
    ),
    "stacked_ratio": _capped(
        "stacked, L/Q",
        lambda bench, forecast, cap: Stacked(
            forecast, rank_by_ratio(forecast, bench.published), most_attempts=cap
        ),
        keeps_pools=True,
    ),
    "stacked_threshold": _threshold(0.8),
    "stacked_low_threshold": _threshold(0.5),
    "load_aware": _capped("load-aware", lambda _bench, forecast, cap: LoadAware(forecast, most_attempts=cap)),
    "round_robin": _capped(
        "round robin", lambda _bench, forecast, cap: RoundRobin(forecast, most_attempts=cap)
    ),
}
"""By key. The threshold is a share of the best model's chance."""
