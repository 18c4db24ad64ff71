from __future__ import annotations

import numpy as np
import pytest

from extproc.fit.logistic import Penalty, fit_regressions
from extproc.fit.mixing import Mixture, log_loss, mixture_of, pair_loss

QUESTIONS = 400


def outcomes_and_truth() -> tuple[np.ndarray, np.ndarray]:
    """Two models: what is common is strong, how they differ is weaker."""
    rng = np.random.default_rng(2)
    common, apart = 2.0 * rng.normal(size=(QUESTIONS, 1)), rng.normal(size=(QUESTIONS, 1))
    truth = common + apart * np.array([1.0, -1.0])
    return (rng.random((QUESTIONS, 2)) < 1 / (1 + np.exp(-truth))).astype(float), truth


def common_of(odds: np.ndarray) -> np.ndarray:
    return np.repeat(odds.mean(axis=1, keepdims=True), 2, axis=1)


def test_differences_and_what_is_common_come_from_different_fits() -> None:
    """One fit knows what is common and another how the models differ: the mixture takes each from who knows it."""
    outcomes, truth = outcomes_and_truth()
    knows_common, knows_apart = common_of(truth), truth - common_of(truth)
    mixture = mixture_of([knows_common, knows_apart], outcomes)

    assert mixture.common[0] > 0.99
    assert mixture.apart[1] > 0.99
    mixed = mixture.of([knows_common, knows_apart])
    assert np.allclose(truth, mixed, atol=0.2)
    assert log_loss(mixed, outcomes) < log_loss(knows_common, outcomes) - 0.02


def test_fits_that_are_equally_good_count_the_same() -> None:
    """No choice is made where there is nothing to choose by; one that is far worse counts for nothing."""
    outcomes, truth = outcomes_and_truth()
    mixture = mixture_of([truth, truth.copy(), -truth], outcomes)

    assert pytest.approx([0.5, 0.5, 0.0], abs=1e-6) == mixture.common
    assert pytest.approx([0.5, 0.5, 0.0], abs=1e-6) == mixture.apart


def test_pairs_do_not_see_what_is_common() -> None:
    """Only the difference counts, only where one was right and the other wrong; fractions are rounded."""
    outcomes = np.array([[1.0, 0.0], [0.9, 0.1], [1.0, 1.0], [0.0, np.nan]])
    odds = np.array([[3.0, 1.0], [-5.0, -7.0], [0.0, 9.0], [1.0, 1.0]])
    loss, count = pair_loss(odds, outcomes)

    assert 2 == count
    assert pytest.approx(np.log1p(np.exp(-2.0))) == loss


def test_with_few_pairs_differences_are_weighed_by_what_they_add() -> None:
    """A log has one answer per question. One fit is right about what is common and exaggerates differences, another is right
    about these alone: by its whole log loss the second would count for nothing.
    """
    outcomes, truth = outcomes_and_truth()
    outcomes[np.arange(QUESTIONS), np.arange(QUESTIONS) % 2] = np.nan
    common = common_of(truth)
    exaggerates, knows_apart = common + 2.5 * (truth - common), truth - common
    mixture = mixture_of([exaggerates, knows_apart], outcomes)

    assert mixture.common[0] > 0.9
    assert mixture.apart[1] > 0.9


def test_a_mixture_of_regressions_says_what_the_mixture_of_their_words_is() -> None:
    """Weights are mixed as the log odds are, the population's column included."""
    rng = np.random.default_rng(3)
    matrix = rng.normal(size=(120, 4))
    outcomes = (rng.random((120, 3)) < 0.5).astype(float)
    fits = [fit_regressions(matrix, outcomes, penalty) for penalty in (Penalty(1, 1), Penalty(30, 30))]
    mixture = Mixture(np.array([0.25, 0.75]), np.array([0.9, 0.1]))
    mixed = mixture.of_regressions(fits)

    said = [fit.log_odds(matrix)[:, :-1] for fit in fits]
    assert np.allclose(mixture.of(said), mixed.log_odds(matrix)[:, :-1])
    assert np.allclose(mixed.weights[:, :-1].mean(axis=1), mixed.weights[:, -1])
