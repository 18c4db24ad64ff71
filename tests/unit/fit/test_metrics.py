from __future__ import annotations

import numpy as np
import pytest

from extproc.fit.metrics import (
    brier_scores,
    calibration,
    calibration_error,
    draw_weights,
    interval,
    log_loss_gain_error,
    log_losses,
    mean_auc,
)


def test_losses_of_even_chances() -> None:
    """Even chances cost log 2 nats and a quarter."""
    odds, right = np.zeros((3, 2)), np.array([[0.0, 1.0], [1.0, 1.0], [0.0, 0.0]])
    assert np.allclose(np.log(2.0), log_losses(odds, right))
    assert np.allclose(0.25, brier_scores(odds, right))


def test_ranking_is_judged_within_each_model() -> None:
    """Telling models apart is no knowledge of prompts: the area is that of each column, averaged."""
    odds = np.array([[-2.0, 1.0], [-1.0, 2.0]])
    assert 0.5 == mean_auc(odds, np.array([[0.0, 1.0], [1.0, 0.0]]))
    assert 1.0 == mean_auc(odds, np.array([[0.0, 0.0], [1.0, 1.0]]))


def test_a_model_that_was_always_right_has_no_ranking() -> None:
    """Columns of one kind of outcome are left out."""
    assert 0.5 == mean_auc(np.zeros((2, 1)), np.ones((2, 1)))


def test_calibrated_chances_have_no_error() -> None:
    """Chances that come true as often as they say are on the diagonal; shifted ones are off by the shift."""
    rng = np.random.default_rng(0)
    said = rng.random(200_000) * 0.7
    right = (rng.random(200_000) < said).astype(float)
    assert calibration_error(calibration(said, right)) < 0.005
    assert pytest.approx(0.25, abs=0.01) == calibration_error(calibration(said + 0.25, right))


def test_an_interval_covers_the_figure_and_repeats() -> None:
    """The same seed gives the same interval, around the value."""
    values = np.random.default_rng(1).normal(size=400)
    first, second = (interval(values @ draw_weights(400, 200, seed=5) / 400) for _ in range(2))
    assert first == second
    assert first.low < first.value < first.high
    assert pytest.approx(4 * 0.05, rel=0.25) == first.high - first.low
    assert first.value == pytest.approx(values.mean())


def test_the_error_of_a_gain_is_that_of_independent_questions() -> None:
    """With one answer per question it is the textbook's standard error; copies of an answer add no certainty."""
    rng = np.random.default_rng(3)
    odds, rival = rng.normal(size=(400, 1)), np.zeros((400, 1))
    right = (rng.random((400, 1)) < 0.7).astype(float)
    gains = log_losses(rival, right) - log_losses(odds, right)
    expected = gains.std() / np.sqrt(400)
    once = log_loss_gain_error(odds, rival, right)
    thrice = log_loss_gain_error(*(np.repeat(array, 3, axis=1) for array in (odds, rival, right)))

    assert pytest.approx([expected, expected]) == [once, thrice]


def test_models_that_were_not_asked_bear_on_no_error() -> None:
    """An unknown outcome is no wrong answer."""
    odds, rival = np.array([[1.0], [-0.5], [0.2]]), np.zeros((3, 1))
    right = np.array([[1.0], [0.0], [1.0]])
    unasked = np.full((3, 1), np.nan)

    assert log_loss_gain_error(odds, rival, right) == pytest.approx(
        log_loss_gain_error(np.hstack((odds, odds)), np.hstack((rival, rival)), np.hstack((right, unasked)))
    )
