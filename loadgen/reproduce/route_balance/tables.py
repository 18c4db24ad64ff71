"""Figures in full."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from loadgen.reproduce.findings import Table
from loadgen.reproduce.route_balance.arms import Arm, Choice, Planned, Rival, Scored
from loadgen.reproduce.route_balance.balance import Balance
from loadgen.reproduce.route_balance.cells import Load, Pattern
from loadgen.reproduce.route_balance.experiment import (
    AVENGERS_PUBLISHED,
    BEST_ROUTE_PUBLISHED,
    BUSY,
    CALM,
    GAMMA,
    ISOLATION_LOADS,
    RATES,
    SQUARE,
    Compared,
    Swept,
)
from loadgen.reproduce.route_balance.families import (
    AVENGERS_SQ,
    BEST_ROUTE_SQ,
    FULL,
    MIN_MAX,
    NO_LATENCY,
    NOT_LONGEST_FIRST,
    ONE_ATTEMPT,
    ROUTE_BALANCE,
    ROUTER_SCORE,
    STATIC,
    UNBATCHED,
    VERIFIED,
)
from loadgen.reproduce.route_balance.measured import Floats, figure
from loadgen.reproduce.route_balance.unseen import Unseen

_ISOLATION = {
    "arm 1: full": FULL,
    "arm 3: no latency term, ties by latency": NO_LATENCY,
    "arm 4: fixed time per token": STATIC,
    "no batching": UNBATCHED,
    "not longest first": NOT_LONGEST_FIRST,
}


def volumes(sets: Sequence[Swept]) -> Table:
    """Hypervolume of each family by set, rate and reference."""
    places = [(swept, load) for swept in sets for load in (CALM, BUSY)]
    columns = [(swept, load, swept.reference) for swept, load in places]
    columns += [(swept, BUSY, swept.patient) for swept in sets]
    return Table(
        title="Hypervolume: share of quality x price x latency that a sweep dominates",
        columns=(
            "arm",
            "points",
            *(f"{swept.name}, {load.rate:.0f}/s, to {ref.seconds:.0f} s" for swept, load, ref in columns),
        ),
        rows=tuple(
            (
                label,
                str(len(sets[0].families[label])),
                *(
                    _with_interval(swept.found.hypervolumes(swept.families[label], load, ref), "{:.3f}")
                    for swept, load, ref in columns
                ),
            )
            for label in sets[0].families
        ),
        note="From quality 0, the price of asking the largest model alone, and the latency named. Brackets: 95 % over "
        "questions. More points cover more.",
    )


def dominance(swept: Swept, load: Load) -> Table:
    """Which family dominates how much of which."""
    labels = (VERIFIED, ONE_ATTEMPT, ROUTE_BALANCE, MIN_MAX, BEST_ROUTE_SQ, AVENGERS_SQ)
    return Table(
        title=f"Points of the column that the row dominates in all three ({swept.name}, {load.rate:.0f} requests/s)",
        columns=("arm", *labels),
        rows=tuple(
            (
                row,
                *("-" if row == column else _count(swept, row, column, load) for column in labels),
            )
            for row in labels
        ),
        note="As measured, without regard to chance; the findings give intervals.",
    )


def points(swept: Swept, load: Load) -> Table:
    """Every point of the main families."""
    labels = (VERIFIED, ONE_ATTEMPT, ROUTE_BALANCE, MIN_MAX, ROUTER_SCORE, BEST_ROUTE_SQ, AVENGERS_SQ)
    found = swept.found
    return Table(
        title=f"Every point ({swept.name}, {load.rate:.0f} requests/s)",
        columns=(
            "arm",
            "setting",
            "quality",
            "mean latency, s",
            "P99, s",
            "USD per 1,000 requests",
            "shares, small to large",
        ),
        rows=tuple(
            (
                label,
                describe(arm),
                _with_interval(found.quality(arm, load), "{:.3f}"),
                _with_interval(found.seconds(arm, load), "{:.2f}"),
                f"{found.quantiles(arm, load, 0.99)[0]:.1f}",
                f"{1e3 * found.usd(arm, load)[0]:.4f}",
                " / ".join(f"{100 * share:.0f}" for share in found.shares(arm, load)),
            )
            for label in labels
            for arm in swept.families[label]
        ),
    )


def isolation(compared: Compared) -> Table:
    """Mean latency and quality of RouteBalance's parts."""
    found = compared.isolation
    return Table(
        title="RouteBalance taken apart: mean latency, s (uniform weights but for arm 3)",
        columns=("arm", *(_load_name(load) for load in ISOLATION_LOADS), "quality at 12/s"),
        rows=tuple(
            (
                label,
                *(_with_interval(found.seconds(arm, load), "{:.2f}") for load in ISOLATION_LOADS),
                _with_interval(found.quality(arm, CALM), "{:.3f}"),
            )
            for label, arm in _ISOLATION.items()
        ),
    )


def rates(compared: Compared) -> Table:
    """Mean latency by load, with what is needed to read it: the quality."""
    found = compared.found
    loads = [*(Load(rate=rate) for rate in RATES), SQUARE, GAMMA]
    arms = {
        **compared.arms,
        "BEST-Route, its headline setting": BEST_ROUTE_PUBLISHED,
        "Avengers-Pro, its headline setting": AVENGERS_PUBLISHED,
    }
    return Table(
        title="Mean latency by load, s",
        columns=("arm", "setting", "quality at 12/s", *(_load_name(load) for load in loads)),
        rows=tuple(
            (
                label,
                describe(arm),
                f"{found.quality(arm, CALM)[0]:.3f}",
                *(f"{found.seconds(arm, load)[0]:.2f}" for load in loads),
            )
            for label, arm in arms.items()
        ),
        note="Each arm at the point of its sweep with the quality nearest to RouteBalance's at 12 requests/s, but for the two "
        "headline settings.",
    )


def unseen(judged: Sequence[Unseen]) -> Table:
    """Quality of the neighbours' choice by task."""
    return Table(
        title="Nearest neighbours on tasks that they have not seen: share of right answers",
        columns=(
            "task",
            "questions",
            "task among the neighbours",
            "task left out",
            "best model elsewhere",
            "random",
        ),
        rows=tuple(
            (
                one.task,
                str(len(one.random)),
                *(
                    f"{float(np.mean(values)):.3f}"
                    for values in (one.seen, one.unseen, one.prior, one.random)
                ),
            )
            for one in judged
        ),
        note="Six open models of 7B to 51B; the model rated best is asked, whatever its price.",
    )


def describe(arm: Arm) -> str:
    """The setting of an arm in a few characters."""
    if isinstance(arm, Balance | Scored):
        weights = arm.weights
        return f"wq {weights.quality:.2f}, wc {weights.cost:.2f}, wl {weights.latency:.2f}"
    if isinstance(arm, Planned):
        return f"worth {arm.worth_seconds:.0f} s, {arm.seconds_per_usd:.0f} s/USD"
    return _describe_rival(arm)


def _describe_rival(arm: Rival) -> str:
    names = {
        Choice.BEST_ROUTE: f"confidence {arm.value:.2f}",
        Choice.BEST_ROUTE_MATCH: f"chance {arm.value:.2f}",
        Choice.AVENGERS: f"quality {arm.value:.2f}",
        Choice.ALWAYS: f"model {arm.value:.0f}",
        Choice.ANY: "any instance",
    }
    return names[arm.choice]


def _count(swept: Swept, row: str, column: str, load: Load) -> str:
    own, other = swept.families[row], swept.families[column]
    share = swept.found.coverage(own, other, load, swept.reference)[0]
    return f"{round(share * len(other))} of {len(other)}"


def _load_name(load: Load) -> str:
    if load.pattern is Pattern.POISSON:
        return f"{load.rate:.0f}/s"
    return "square 30/6" if load.pattern is Pattern.SQUARE else "gamma 0.3, 18/s"


def _with_interval(values: Floats, form: str) -> str:
    found = figure(values)
    return f"{form.format(found.value)} [{form.format(found.low)}, {form.format(found.high)}]"
