from __future__ import annotations

import numpy as np
import pytest

from extproc.estimate.quality.coupling import (
    MOST_LOG_ODDS,
    WEIGHTS,
    Floats,
    abilities,
    table_of,
    tabulate,
    weights_after,
)


def chances(log_odds: Floats) -> Floats:
    result: Floats = 1.0 / (1.0 + np.exp(-log_odds))
    return result


@pytest.mark.parametrize("slope", [0.0, 0.5, 1.0, 2.0, 3.0, 5.0])
def test_the_mean_over_difficulties_is_the_marginal_chance(slope: float) -> None:
    """Whatever the slope, the weighted mean over nodes is what was asked for."""
    odds = np.linspace(-MOST_LOG_ODDS, MOST_LOG_ODDS, 41)
    table = tabulate(odds, np.full(41, slope))
    assert np.abs(table @ WEIGHTS - chances(odds)).max() < (0.0005 if slope <= 3.0 else 0.0015)


def test_without_slope_a_failure_says_nothing() -> None:
    """Models with slope 0 are independent."""
    table = tabulate(np.array([0.0, 1.0]), np.zeros(2))
    assert np.allclose(table @ WEIGHTS, table @ weights_after(table, (0,)))


def test_failures_lower_the_chances_of_the_others_one_by_one() -> None:
    """Each failure makes the question a harder one."""
    table = tabulate(np.array([0.0, 0.5, 1.0]), np.full(3, 2.0))
    after = [float(table[2] @ weights_after(table, failed)) for failed in ((), (0,), (0, 1))]
    assert after == sorted(after, reverse=True)
    assert after[2] < 0.65 * after[0]


def test_the_failure_of_a_better_model_says_more() -> None:
    """A strong model's failure lowers a third model's chance more than a weak one's."""
    table = tabulate(np.array([-1.0, 2.0, 0.0]), np.full(3, 2.0))
    weak, strong = (float(table[2] @ weights_after(table, (row,))) for row in (0, 1))
    assert strong < weak


def test_the_chance_that_all_fail_is_the_same_in_any_order() -> None:
    """P(A fails) P(B fails | A failed) equals the sum over nodes of the product."""
    table = tabulate(np.array([0.3, -0.4]), np.array([1.5, 3.0]))
    in_turn = (1 - table[0] @ WEIGHTS) * (1 - table[1] @ weights_after(table, (0,)))
    assert pytest.approx(float(((1 - table[0]) * (1 - table[1])) @ WEIGHTS)) == float(in_turn)


def test_many_failures_leave_weights_that_sum_to_one() -> None:
    """Fifty failures of strong models neither overflow nor divide by zero."""
    table = tabulate(np.full(50, MOST_LOG_ODDS), np.full(50, 5.0))
    weights = weights_after(table, range(50))
    assert pytest.approx(1.0) == float(weights.sum())
    assert np.isfinite(weights).all()


@pytest.mark.parametrize("slope", [0.0, 0.3, 1.0, 2.5, 5.0])
def test_a_table_follows_from_the_abilities_alone(slope: float) -> None:
    """Log odds and slope of each model are read out of its row, and make the same row, at the ends of the range too."""
    table = tabulate(np.linspace(-MOST_LOG_ODDS, MOST_LOG_ODDS, 21), np.full(21, slope))
    found = abilities(table)

    assert [slope] * 21 == pytest.approx([one.slope for one in found], abs=1e-6)
    assert np.abs(table_of(found) - table).max() < 1e-9
