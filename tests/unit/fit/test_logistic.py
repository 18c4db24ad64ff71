from __future__ import annotations

import numpy as np
import pytest

from extproc.fit.logistic import Penalty, Regressor, fit_one, fit_regressions


def test_weights_are_found_again() -> None:
    """With little penalty, weights that made the outcomes come back."""
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(4_000, 2))
    right = rng.random(4_000) < 1.0 / (1.0 + np.exp(-(matrix @ [1.0, -2.0] + 0.5)))
    weights, intercept = fit_one(matrix, right.astype(float), np.zeros(2), 0.1)
    assert np.allclose([1.0, -2.0, 0.5], [*weights, intercept], atol=0.15)


def test_a_heavy_penalty_leaves_the_weights_where_they_are_drawn_to() -> None:
    """Without faith in the data, only the intercept follows it."""
    rng = np.random.default_rng(1)
    outcomes = (rng.random(300) < 0.8).astype(float)
    towards = np.array([0.3, -0.1])
    weights, _ = fit_one(rng.normal(size=(300, 2)), outcomes, towards, 1e9)
    assert np.allclose(towards, weights, atol=1e-4)


@pytest.mark.parametrize("right", [0.0, 1.0])
def test_a_model_that_was_always_right_or_wrong_stays_finite(right: float) -> None:
    """One kind of outcome alone gives a strong but finite chance."""
    weights, intercept = fit_one(np.zeros((50, 1)), np.full(50, right), np.zeros(1), 1.0)
    assert np.isfinite([*weights, intercept]).all()
    assert 3.0 < abs(intercept) < 10.0


def test_no_outcomes_give_the_weights_drawn_to() -> None:
    """A model that was never asked is as the population is."""
    weights, intercept = fit_one(np.zeros((0, 2)), np.zeros(0), np.array([1.0, 2.0]), 1.0)
    assert ([1.0, 2.0], 0.0) == (weights.tolist(), intercept)


def test_a_model_with_few_outcomes_borrows_from_the_others() -> None:
    """What is hard for nine models is believed hard for the tenth, which was asked five times."""
    rng = np.random.default_rng(2)
    matrix = rng.normal(size=(800, 1))
    right = (rng.random((800, 10)) < 1.0 / (1.0 + np.exp(-2.0 * matrix))).astype(float)
    right[5:, 9] = np.nan
    found = fit_regressions(matrix, right, Penalty(1.0, 30.0))
    assert found.weights[0, 9] > 1.2


def test_the_population_is_the_mean_model() -> None:
    """The last column is the mean of the models' weights and intercepts."""
    rng = np.random.default_rng(3)
    found = fit_regressions(
        rng.normal(size=(200, 3)), (rng.random((200, 4)) < 0.5).astype(float), Penalty(1, 3)
    )
    assert np.allclose(found.weights[:, :-1].mean(axis=1), found.weights[:, -1])
    assert np.allclose(found.intercepts[:-1].mean(), found.intercepts[-1])


def test_bounded_steps_end_where_newtons_do() -> None:
    """Columns that are strong, weak, the same twice, and off centre: log odds are those of Newton's method."""
    rng = np.random.default_rng(6)
    matrix = rng.normal(size=(600, 6)) * [4.0, 1.0, 1.0, 0.1, 0.01, 1.0] + [0, 0, 0, 0, 0, 5.0]
    matrix = np.column_stack([matrix, matrix[:, 0]])
    outcomes = (rng.random((600, 3)) < 1 / (1 + np.exp(-matrix[:, :3]))).astype(float)
    regressor = Regressor(matrix)
    for penalty in (Penalty(0.3, 1.0), Penalty(3.0, 1_000.0)):
        mean = np.clip(outcomes.mean(axis=1), 0.0, 1.0)
        common, _ = fit_one(matrix, mean, np.zeros(7), penalty.population)
        newton = [fit_one(matrix, right, common, penalty.own) for right in outcomes.T]
        expected = np.column_stack([matrix @ weights + start for weights, start in newton])
        found = regressor.fit(outcomes, penalty).log_odds(matrix)[:, :-1]
        assert np.allclose(expected, found, rtol=0.01, atol=0.03)


def test_a_model_that_was_never_asked_is_as_the_population() -> None:
    """It has the common weights, and even chances before them."""
    rng = np.random.default_rng(7)
    matrix = rng.normal(size=(300, 2))
    outcomes = (rng.random((300, 3)) < 1 / (1 + np.exp(-matrix[:, :1]))).astype(float)
    outcomes[:, 2] = np.nan
    found = fit_regressions(matrix, outcomes, Penalty(1.0, 100.0))
    assert np.isfinite(found.weights).all()
    assert pytest.approx(found.weights[0, :2].mean(), abs=0.3) == found.weights[0, 2]
