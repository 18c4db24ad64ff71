from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest

from extproc.decide.hedge import COMMON_SHARE, STALLED_SHARE, Patience, Runner, worthwhile_patience


def runner(median: float = 1.0, upper: float = 1.5, chance: float = 0.7, cost: float = 0.0) -> Runner:
    """An attempt of a second, seldom more than one and a half."""
    return Runner(expected_seconds=median, upper_seconds=upper, chance=chance, cost_per_second=cost)


def hedge(
    *runners: Runner, deadline: float = 10.0, worth: float = 60.0, can_race: bool = True
) -> Patience | None:
    """How long tries are waited for, if not until the deadline."""
    return worthwhile_patience(runners, deadline_seconds=deadline, worth_seconds=worth, can_race=can_race)


def after(*runners: Runner, **changes: Any) -> float:
    """When the next one starts."""
    found = hedge(*runners, **changes)
    assert found is not None
    return found.seconds


def test_an_overdue_try_is_raced_while_there_is_time() -> None:
    """With an idle twin and a deadline far off, a try that takes longer than nearly all do is worth a race."""
    found = hedge(runner(), runner())

    assert found is not None
    assert found.hedges
    assert 1.5 <= found.seconds < 3.0
    assert 0.0 < found.gain_seconds < STALLED_SHARE * (60.0 + 10.0)


def test_no_race_begins_that_could_not_end_in_time() -> None:
    """The next try would need longer than the deadline leaves."""
    assert hedge(runner(), runner(), deadline=1.7) is None
    assert hedge(runner(), runner(8.0, 12.0), deadline=6.0) is None


def test_no_race_is_worth_more_than_its_answer() -> None:
    """A next try that is as good as hopeless, or an answer that is hardly worth its time, is not raced for."""
    assert hedge(runner(), runner(chance=0.01)) is None
    assert hedge(runner(), runner(), worth=0.5, deadline=3.0) is None


def test_the_delay_caused_to_others_is_weighed() -> None:
    """On a busier instance a race has to be surer, so it begins later; on a crowded one there is none."""
    assert after(runner(), runner(), deadline=30.0) < after(runner(), runner(cost=40.0), deadline=30.0)
    assert hedge(runner(), runner(cost=200.0)) is None


def test_a_deadline_that_comes_near_brings_the_race_forward() -> None:
    """There is no time to become surer."""
    assert after(runner(), runner(), deadline=2.6) < after(runner(), runner(), deadline=20.0)


def test_a_slow_second_model_is_not_raced_for_being_slow() -> None:
    """Envoy has one timeout for all tries: with a third attempt it is beyond what is usual of the second."""
    assert after(runner(), runner(8.0, 14.0), deadline=40.0) < 8.0
    assert after(runner(), runner(8.0, 14.0), runner(), deadline=40.0) >= 14.0


def test_where_tries_cannot_be_raced_they_are_given_up() -> None:
    """An overdue one makes room for the next while there is time; a good one that would be lost to it is waited for."""
    found = hedge(runner(), runner(), can_race=False)

    assert found is not None
    assert not found.hedges
    assert hedge(runner(), runner(), deadline=1.7, can_race=False) is None
    assert hedge(runner(), runner(chance=0.01), can_race=False) is None
    assert after(runner(), runner(8.0, 14.0), deadline=60.0, can_race=False) >= 14.0, (
        "the last one is limited, too"
    )


def test_a_plan_of_one_attempt_cannot_be_raced() -> None:
    """There is nobody to race it."""
    assert hedge(runner()) is None


@pytest.mark.parametrize("can_race", [True, False])
@pytest.mark.parametrize("deadline", [6.5, 9.0, 20.0])
def test_the_gain_is_what_a_simulation_finds(deadline: float, can_race: bool) -> None:
    """Drawing latencies by the stated law and adding up worth, time and cost of both courses gives the same gain."""
    first, second = runner(1.0, 2.0, 0.6, 0.3), runner(1.2, 2.5, 0.8, 0.5)
    found = hedge(first, second, deadline=deadline, can_race=can_race)
    assert found is not None
    rng, draws = np.random.default_rng(7), 2_000_000
    scores = rng.standard_normal(draws)
    other_scores = COMMON_SHARE * scores + math.sqrt(1.0 - COMMON_SHARE**2) * rng.standard_normal(draws)
    unrelated = rng.standard_normal(draws)
    stalls, other_stalls = rng.random((2, draws)) < STALLED_SHARE
    upper = NormalDist().inv_cdf(0.95)
    own = np.where(stalls, np.inf, 1.0 * np.exp(math.log(2.0) / upper * scores))
    spread = math.log(2.5 / 1.2) / upper
    run = 1.2 * np.exp(spread * np.where(stalls, unrelated, other_scores))
    run = np.where(other_stalls, np.inf, run)
    cost = np.where(stalls, 0.0, 0.3)

    def value(end: np.ndarray, chance: np.ndarray | float, rate: np.ndarray) -> np.ndarray:
        right = chance * (end < deadline)
        client = right * np.minimum(end, deadline) + (1.0 - right) * deadline
        result: np.ndarray = 60.0 * right - client - rate * (np.minimum(end, deadline) - found.seconds)
        return result

    wait = value(own, 0.6, cost)
    if can_race:
        other = found.seconds + run
        course = value(np.minimum(own, other), np.where(other < own, 0.8, 0.6), 1.0 + cost + 0.5)
    else:
        in_time = np.where(run <= found.seconds, 0.8, 0.0)
        course = value(found.seconds + np.minimum(run, found.seconds), in_time, np.full(draws, 0.5))
    gain = float(np.mean((course - wait) * (own > found.seconds)))

    assert found.gain_seconds == pytest.approx(gain, rel=0.1)
