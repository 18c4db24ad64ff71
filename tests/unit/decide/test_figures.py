from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from extproc.decide.figures import Figures
from extproc.decide.first_correct import Objective, Ranking
from extproc.decide.sequence import Step
from extproc.estimate.predictions import Predictions
from extproc.fleet.snapshot import FleetSnapshot
from extproc.fleet.topology import Fleet


@pytest.fixture
def snapshot(make_fleet: Callable[..., Fleet], make_snapshot: Callable[..., FleetSnapshot]) -> FleetSnapshot:
    """One model on four instances."""
    return make_snapshot(make_fleet())


@pytest.fixture
def figures(snapshot: FleetSnapshot, make_predictions: Callable[..., Predictions]) -> Figures:
    """Of rows 2, 0 and 1: the first was weighed, the second stands in, the third is one that nobody ranked."""
    return Figures.of(
        make_predictions(snapshot, chances=(0.7,), seconds=(4.0, 3.0, 2.0, 1.0), usd=(0.1, 0.2, 0.3, 0.4)),
        Ranking(
            positions=(2, 0), steps=(Step(candidate=2, chance=0.65, is_worth_it=True),), reason="utility"
        ),
        [2, 0, 1],
        wants_abilities=True,
    )


def test_an_attempt_holds_what_is_predicted_of_it(snapshot: FleetSnapshot, figures: Figures) -> None:
    """The chance is that of the sequence, which stand-ins have not; without figures there is only the address."""
    weighed, stand_in, unknown = (
        figures.attempt(row, snapshot.table, tells_chance=True) for row in (2, 0, 1)
    )

    assert (0.65, 2.0, 0.3) == (weighed.chance, weighed.latency_seconds, weighed.cost_usd)
    assert pytest.approx(4.0) == weighed.latency_upper_seconds
    assert (None, 4.0) == (stand_in.chance, stand_in.latency_seconds)
    assert (snapshot.table.addresses[1], None, 0.0) == (
        unknown.address, unknown.latency_seconds, unknown.work_seconds,
    )  # fmt: skip
    assert figures.attempt(2, snapshot.table, tells_chance=False).chance is None
    assert weighed.ability is not None
    assert pytest.approx((math.log(0.7 / 0.3), 0.0)) == (weighed.ability.log_odds, weighed.ability.slope)
    assert (None, None) == (stand_in.ability, unknown.ability)


def test_a_runner_costs_by_the_second(figures: Figures) -> None:
    """What an attempt costs others is spread over its time; its chance is its own, whatever the others say."""
    objective = Objective(worth_seconds=60.0, congestion_weight=1.0, seconds_per_usd=10.0)
    runner = figures.runner(2, objective)

    assert runner is not None
    assert pytest.approx((2.0, 0.7)) == (runner.expected_seconds, runner.chance)
    assert pytest.approx(4.0) == runner.upper_seconds
    assert runner.cost_per_second == pytest.approx(0.3 * 10.0 / 2.0)
    assert figures.runner(1, objective) is None
