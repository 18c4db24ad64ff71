from __future__ import annotations

import numpy as np
import pytest

from loadgen.questions.generated import generate_questions

RECORDED_ACCURACY = {
    "gemma-2-2b": 0.405,
    "llama-3.1-8b": 0.674,
    "gemma-2-9b": 0.728,
    "gemma-2-27b": 0.768,
    "llama-3.1-70b": 0.826,
}
"""Shares of right answers over the 1,211 recorded questions."""


def test_generated_models_are_as_good_as_the_recorded_ones() -> None:
    """Accuracies of a large draw lie near those that the figures were fitted to."""
    drawn = generate_questions("zeroeval", seed=3, count=4000)
    questions = (*drawn.training, *drawn.held_out)
    for model, accuracy in RECORDED_ACCURACY.items():
        found = np.mean([question.correct[model] for question in questions])
        assert pytest.approx(accuracy, abs=0.05) == found


def test_failures_hang_together() -> None:
    """Models fail on the same questions far more often than independent ones would."""
    drawn = generate_questions("mmlu_pro", seed=3, count=4000)
    right = np.array([list(q.correct.values()) for q in (*drawn.training, *drawn.held_out)])
    none_right = np.mean(~right.any(axis=1))
    assert none_right > 2 * np.prod(1 - right.mean(axis=0))


def test_the_same_seed_draws_the_same_questions() -> None:
    """Draws are reproducible."""
    assert generate_questions("zeroeval", seed=5, count=50) == generate_questions(
        "zeroeval", seed=5, count=50
    )
