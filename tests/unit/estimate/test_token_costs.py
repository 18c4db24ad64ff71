from __future__ import annotations

import pytest

from extproc.estimate.token_costs import LARGEST_STEP, NAMES, CostPriors, TokenCosts
from extproc.estimate.token_priors import PRIORS
from extproc.facts.text import Category

ENGLISH = [(Category.ENGLISH, 4000)]
HAN = [(Category.HAN, 4000)]


def fresh() -> TokenCosts:
    """Costs that learned nothing yet."""
    return TokenCosts(CostPriors(), 0.025)


def test_learns_a_single_category() -> None:
    """The expected count converges on what is observed."""
    costs = fresh()
    for _ in range(50):
        costs.learn(ENGLISH, 1000)
    assert pytest.approx(1000, rel=0.02) == costs.estimate(ENGLISH)[0]


def test_separates_categories_from_mixtures() -> None:
    """Figures of two categories are told apart when their proportions vary."""
    costs = fresh()
    for step in range(300):
        english, han = 500 * (step % 7 + 1), 500 * (step % 5 + 1)
        costs.learn([(Category.ENGLISH, english), (Category.HAN, han)], round(english * 0.2 + han * 0.5))
    assert pytest.approx(0.2, rel=0.05) == costs.expected[Category.ENGLISH]
    assert pytest.approx(0.5, rel=0.05) == costs.expected[Category.HAN]


def test_a_wasteful_tokenizer_raises_categories_not_seen_yet() -> None:
    """English alone says something about Chinese: the vocabulary as a whole is less efficient."""
    costs = fresh()
    before = costs.expected[Category.HAN]
    for _ in range(20):
        costs.learn(ENGLISH, 900)
    assert costs.expected[Category.HAN] > 1.03 * before


def test_one_observation_moves_a_figure_by_a_bounded_step() -> None:
    """However absurd a count, the figure moves at most `LARGEST_STEP` of its prior."""
    costs = fresh()
    before = dict(costs.expected)
    costs.learn(HAN, 1_000_000)
    for name in NAMES:
        assert (
            abs(costs.expected[name] - before[name]) <= LARGEST_STEP * PRIORS[name].tokens_per_unit * 1.0001
        )


@pytest.mark.parametrize("tokens", [1, 10_000_000])
def test_a_poisoned_stream_stays_within_the_guard_rails(tokens: int) -> None:
    """Any number of absurd counts leaves every figure within the priors' bounds."""
    costs = fresh()
    for _ in range(300):
        costs.learn(ENGLISH, tokens)
        costs.learn(HAN, tokens)
    for name in NAMES:
        assert PRIORS[name].least * 0.9999 <= costs.expected[name] <= PRIORS[name].most * 1.0001


def test_recovers_after_a_poisoned_stream() -> None:
    """True counts win again: learning never freezes."""
    costs = fresh()
    for _ in range(100):
        costs.learn(ENGLISH, 8000)
    for _ in range(300):
        costs.learn(ENGLISH, 700)
    assert pytest.approx(700, rel=0.1) == costs.estimate(ENGLISH)[0]


def test_the_margin_settles_where_the_under_rate_is_met() -> None:
    """Of prompts that vary at random, about the stated share exceeds the conservative count."""
    costs = TokenCosts(CostPriors(), 0.1)
    under = 0
    for step in range(4000):
        # A low-discrepancy sequence in place of chance: uniform between 800 and 1,200.
        tokens = round(800 + 400 * (step * 0.6180339887 % 1.0))
        under += costs.estimate(ENGLISH)[1] < tokens
        costs.learn(ENGLISH, tokens)
    assert pytest.approx(0.1, abs=0.03) == under / 4000


def test_the_conservative_count_is_never_below_the_expected() -> None:
    """The margin is never negative, learned or not."""
    costs = fresh()
    for tokens in (500, 900, 700):
        expected, upper = costs.estimate([*ENGLISH, *HAN])
        assert upper > expected > 0
        costs.learn(ENGLISH, tokens)


def test_nothing_costs_nothing() -> None:
    """A prompt without units has no tokens."""
    assert (0.0, 0.0) == fresh().estimate([])


def test_priors_must_be_complete() -> None:
    """Priors that lack a unit are refused."""
    with pytest.raises(ValueError, match="priors: expected"):
        CostPriors({Category.HAN: PRIORS[Category.HAN]})
