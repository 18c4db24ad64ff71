from __future__ import annotations

import json

import numpy as np
import pytest

from extproc.estimate.answer_limits import FEWEST_ANSWERS, FEWEST_RIGHT, AnswerLimitEstimator
from extproc.estimate.output_length import MOST_TOKENS


def taught(rng: np.random.Generator, answers: int, *, limit: int | None = None) -> AnswerLimitEstimator:
    """Four answers of five end within some hundred tokens and are right half the time; the fifth runs on, wrong."""
    estimator = AnswerLimitEstimator()
    for number in range(answers):
        runs_on = number % 5 == 0
        tokens = int(rng.integers(1500, 3000)) if runs_on else int(rng.integers(50, 300))
        was_cut = limit is not None and tokens > limit
        estimator.learn(
            "m",
            min(tokens, limit) if limit is not None else tokens,
            is_correct=not runs_on and not was_cut and bool(rng.random() < 0.5),
            was_cut=was_cut,
        )
    return estimator


def test_nothing_is_said_before_enough_was_judged() -> None:
    """A model never seen, one with few answers, and one without right ones have no limits."""
    estimator = AnswerLimitEstimator()
    for number in range(int(FEWEST_ANSWERS) // 2):
        estimator.learn("few", 100 + number, is_correct=True, was_cut=False)
    for number in range(3 * int(FEWEST_ANSWERS)):
        estimator.learn("wrong", 100 + number, is_correct=number < FEWEST_RIGHT / 2, was_cut=False)

    assert estimator.limits("never") is None
    assert estimator.limits("few") is None
    assert estimator.limits("wrong") is None


def test_running_on_is_seen_to_be_wrong_and_dear() -> None:
    """Some limit keeps all right answers and saves most of the tokens."""
    found = taught(np.random.default_rng(1), 1000).limits("m")

    assert found is not None
    keeping = found.right_share > 0.97
    assert found.mean_share[keeping].min() < 0.5
    assert found.tokens[keeping][0] < 400


def test_shares_rise_with_the_limit_and_end_at_one() -> None:
    """The last limit is none at all."""
    found = taught(np.random.default_rng(2), 600).limits("m")

    assert found is not None
    for shares in (found.right_share, found.mean_share):
        assert (np.diff(shares) >= 0.0).all()
        assert 1.0 == shares[-1]
    assert (np.diff(found.tokens) > 0).all()
    assert MOST_TOKENS == found.tokens[-1]


def test_a_long_answer_that_was_cut_is_no_wrong_answer() -> None:
    """Limits that were set do not make later ones tighter: what they cut is at risk up to them, and unknown beyond."""
    whole = taught(np.random.default_rng(3), 1000).limits("m")
    limited = taught(np.random.default_rng(3), 1000, limit=1000).limits("m")

    assert whole is not None
    assert limited is not None
    short = whole.tokens < 300
    np.testing.assert_allclose(
        np.interp(whole.tokens[short], limited.tokens, limited.right_share),
        whole.right_share[short],
        atol=0.1,
    )


@pytest.mark.parametrize("tokens", [0, -5, MOST_TOKENS + 1])
def test_impossible_lengths_teach_nothing(tokens: int) -> None:
    """A figure that no answer can have is passed over."""
    estimator = AnswerLimitEstimator()
    for _ in range(500):
        estimator.learn("m", tokens, is_correct=True, was_cut=False)

    assert estimator.limits("m") is None


def test_the_model_that_learned_least_recently_is_forgotten() -> None:
    """Memory is bounded by the number of models."""
    estimator = AnswerLimitEstimator(max_models=2)
    for model in ("a", "b", "c"):
        for number in range(300):
            estimator.learn(model, 50 + number, is_correct=number % 2 == 0, was_cut=False)

    assert estimator.limits("a") is None
    assert estimator.limits("c") is not None


def test_what_was_learned_survives_as_json() -> None:
    """A restored estimator says the same."""
    estimator = taught(np.random.default_rng(4), 500)
    restored = AnswerLimitEstimator()

    restored.restore(json.loads(json.dumps(estimator.state())))

    before, after = estimator.limits("m"), restored.limits("m")
    assert before is not None
    assert after is not None
    np.testing.assert_allclose(after.right_share, before.right_share, rtol=1e-4)
    np.testing.assert_array_equal(after.tokens, before.tokens)


@pytest.mark.parametrize(
    "state", [None, {"version": 0}, {"version": 1, "models": {"m": {"right": [1.0], "wrong": [], "cut": []}}}]
)
def test_a_malformed_state_changes_nothing(state: object) -> None:
    """It is refused with a text, and what was known stays."""
    estimator = taught(np.random.default_rng(5), 500)

    with pytest.raises(ValueError, match="answer limits"):
        estimator.restore(state)

    assert estimator.limits("m") is not None
