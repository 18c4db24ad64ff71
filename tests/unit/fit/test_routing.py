from __future__ import annotations

import numpy as np
import pytest

from extproc.fit.routing import choices, routing_value, routing_values

COSTS = np.array([1.0, 10.0])


def outcomes(seed: int = 0) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    rng = np.random.default_rng(seed)
    return (rng.random((2_000, 2)) < [0.4, 0.8]).astype(float)


def test_ignoring_the_prompt_is_worth_nothing() -> None:
    """A router with the same chances for all prompts is at best a mixture of models."""
    table = outcomes()
    chances = np.tile(table.mean(axis=0), (len(table), 1))
    found = routing_value(choices(chances, COSTS), COSTS, table)
    assert pytest.approx(0.0, abs=1e-9) == found.value
    assert pytest.approx(0.0, abs=1e-9) == found.at_best


def test_knowing_the_outcomes_is_worth_much() -> None:
    """With foresight a router is far above every mixture, and cheaper than the best model."""
    table = outcomes()
    found = routing_value(choices(table, COSTS), COSTS, table)
    assert found.value > 0.15
    assert found.over_uniform > 0.2
    assert pytest.approx(float((table.max(axis=1)).mean() - table[:, 1].mean())) == found.at_best


def test_believing_the_opposite_is_worth_less_than_nothing() -> None:
    """A router that is always wrong about prompts falls below the mixture."""
    table = outcomes()
    assert routing_value(choices(1.0 - table, COSTS), COSTS, table).value < -0.05


def test_models_that_cost_more_and_do_less_leave_the_mixture() -> None:
    """A dear and poor model does not lower what a router is held against."""
    table = np.column_stack([outcomes(), outcomes(1)[:, 0]])
    costs = np.array([1.0, 10.0, 10.0])
    chances = np.tile([0.4, 0.8, 0.0], (len(table), 1))
    assert pytest.approx(0.0, abs=1e-9) == routing_value(choices(chances, costs), costs, table).value


def test_a_tie_goes_to_the_cheaper_model() -> None:
    """Equal chances at no price of cost are no reason to pay."""
    assert 1 == choices(np.array([[0.5, 0.5]]), np.array([2.0, 1.0]))[0, 0]


def test_weighted_prompts_are_prompts_that_stand_there_more_than_once() -> None:
    """Bootstrap samples by weights have the values that the samples themselves would have."""
    rng = np.random.default_rng(4)
    table = outcomes()[:300]
    chosen = choices(np.clip(table * 0.2 + rng.random((300, 2)), 0.0, 1.0), COSTS)
    drawn = rng.integers(0, 300, (2, 300))
    weights = np.stack([np.bincount(rows, minlength=300) for rows in drawn], axis=1).astype(float)
    found = routing_values(chosen, COSTS, table, weights)
    for rows, value in zip(drawn, found, strict=True):
        expected = routing_value(chosen[:, rows], COSTS, table[rows])
        assert pytest.approx((expected.value, expected.area, expected.at_best), abs=1e-9) == (
            value.value,
            value.area,
            value.at_best,
        )
