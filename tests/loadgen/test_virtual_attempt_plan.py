from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from loadgen.virtual.attempt_plan import PlanRule, next_by_value
from loadgen.virtual.knowledge import Chances


def some_chances(seed: int, models: int) -> Chances:
    rng = np.random.default_rng(seed)
    weights = rng.random(5)
    return Chances(weights / weights.sum(), rng.random((models, 5)))


def value_of(order: tuple[int, ...], all_fail: list[float], prices: list[float], worth: float) -> float:
    """Expected value of trying the models in this order."""
    mask, total = 0, 0.0
    for model in order:
        after = mask | 1 << model
        total += worth * (all_fail[mask] - all_fail[after]) - prices[model] * all_fail[mask]
        mask = after
    return total


@pytest.mark.parametrize("seed", range(8))
def test_the_first_model_begins_a_best_sequence(seed: int) -> None:
    """The induction agrees with trying out every ordered choice of models."""
    rng = np.random.default_rng(seed)
    all_fail, prices, worth = some_chances(seed, 4).all_fail(), (10 * rng.random(4)).tolist(), 12.0
    orders = [order for size in range(1, 5) for order in permutations(range(4), size)]
    best = max(orders, key=lambda order: value_of(order, all_fail, prices, worth))
    found = next_by_value(all_fail, prices, 0, PlanRule(worth_seconds=worth))
    if value_of(best, all_fail, prices, worth) <= 0:
        assert found is None
    else:
        after = max(value_of(order, all_fail, prices, worth) for order in orders if order[0] == found)
        assert pytest.approx(value_of(best, all_fail, prices, worth)) == after


def test_a_hopeless_question_is_given_up() -> None:
    """No model is asked when none is worth its price."""
    all_fail = Chances(np.ones(1), np.array([[0.01], [0.02]])).all_fail()
    assert next_by_value(all_fail, [1.0, 2.0], 0, PlanRule(worth_seconds=10.0)) is None


def test_a_model_that_failed_is_not_asked_again() -> None:
    """The next model is one that has not failed, and none when all have."""
    all_fail = Chances(np.ones(1), np.array([[0.9], [0.5]])).all_fail()
    assert 1 == next_by_value(all_fail, [1.0, 1.0], 0b01, PlanRule(worth_seconds=10.0))
    assert next_by_value(all_fail, [1.0, 1.0], 0b11, PlanRule(worth_seconds=10.0)) is None


def test_a_look_ahead_puts_the_cheap_model_first() -> None:
    """Greedily the better model goes first; seen together the cheap one does, since the other can follow."""
    all_fail = Chances(np.ones(1), np.array([[0.5], [0.9]])).all_fail()
    prices = [1.0, 8.0]
    assert 1 == next_by_value(all_fail, prices, 0, PlanRule(worth_seconds=40.0, lookahead=1))
    assert 0 == next_by_value(all_fail, prices, 0, PlanRule(worth_seconds=40.0, lookahead=2))
