from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.decide.sequence import Floats, best_sequence

ONE_NODE = np.ones(1)


def table(*chances: float) -> Floats:
    """Independent candidates: the same chance at the only node."""
    return np.array(chances)[:, np.newaxis]


def utility(chosen: tuple[int, ...], chances: Floats, weights: Floats, prices: Floats, worth: float) -> float:
    """What a sequence is worth, straight from the definition."""
    total, alive = 0.0, weights
    for candidate in chosen:
        total += worth * float(alive @ chances[candidate]) - float(alive.sum()) * prices[candidate]
        alive = alive * (1.0 - chances[candidate])
    return total


def test_one_attempt_weighs_chance_against_price() -> None:
    """With a single attempt the candidate with the largest gain wins: RouteBalance's case."""
    (step,) = best_sequence(
        table(0.5, 0.9), ONE_NODE, np.array([1.0, 30.0]), worth_seconds=40.0, max_attempts=1
    )
    assert (0, 0.5, 19.0) == (step.candidate, step.chance, step.gain_seconds)

    (step,) = best_sequence(
        table(0.5, 0.9), ONE_NODE, np.array([1.0, 10.0]), worth_seconds=40.0, max_attempts=1
    )
    assert step.candidate == 1


def test_a_cheap_try_goes_first_when_a_second_may_follow() -> None:
    """What is second best alone can be the better first of two."""
    prices = np.array([1.0, 10.0])
    single = best_sequence(table(0.5, 0.9), ONE_NODE, prices, worth_seconds=40.0, max_attempts=1)
    double = best_sequence(table(0.5, 0.9), ONE_NODE, prices, worth_seconds=40.0, max_attempts=2)

    assert [1] == [step.candidate for step in single]
    assert [0, 1] == [step.candidate for step in double]


def test_it_stops_when_nothing_more_is_worth_it() -> None:
    """An attempt whose chance does not pay its price is left out, however many were allowed."""
    steps = best_sequence(
        table(0.6, 0.1, 0.05), ONE_NODE, np.array([2.0, 5.0, 5.0]), worth_seconds=40.0, max_attempts=3
    )

    assert [0] == [step.candidate for step in steps]


def test_every_request_is_tried_once() -> None:
    """Also a hopeless one, where it costs least."""
    steps = best_sequence(
        table(0.01, 0.01), ONE_NODE, np.array([9.0, 8.0]), worth_seconds=1.0, max_attempts=3
    )

    assert [1] == [step.candidate for step in steps]
    assert steps[0].gain_seconds < 0


def test_failures_make_hard_questions_likely() -> None:
    """With a shared difficulty the second chance falls below the marginal one, and the stop comes sooner."""
    weights = np.array([0.5, 0.5])
    easy_or_hard = np.array([[0.9, 0.1], [0.9, 0.1]])
    first, second = best_sequence(
        easy_or_hard, weights, np.array([1.0, 1.0]), worth_seconds=40.0, max_attempts=2
    )

    assert pytest.approx(0.5) == first.chance
    assert pytest.approx((0.5 * 0.1 * 0.9 + 0.5 * 0.9 * 0.1) / 0.5) == second.chance
    assert 1 == len(
        best_sequence(easy_or_hard, weights, np.array([1.0, 10.0]), worth_seconds=40.0, max_attempts=2)
    )


def test_a_deadline_ends_the_sequence() -> None:
    """A later attempt that is expected to end after the deadline is not added; the first one always is."""
    prices = np.array([3.0, 3.0, 3.0])
    chances = table(0.5, 0.5, 0.5)

    def length(deadline: float | None) -> int:
        return len(
            best_sequence(
                chances,
                ONE_NODE,
                prices,
                worth_seconds=100.0,
                max_attempts=3,
                latency_seconds=prices,
                deadline_seconds=deadline,
            )
        )

    assert (1, 1, 2, 3) == (length(1.0), length(5.9), length(6.0), length(None))


@given(
    chances=st.lists(st.lists(st.floats(0.01, 0.99), min_size=3, max_size=3), min_size=1, max_size=4),
    prices=st.lists(st.floats(0.1, 30.0), min_size=4, max_size=4),
    worth=st.floats(1.0, 200.0),
    max_attempts=st.integers(1, 3),
)
def test_it_is_close_to_the_best_of_all_sequences(
    chances: list[list[float]], prices: list[float], worth: float, max_attempts: int
) -> None:
    """Exact up to two attempts; with three, never worse than the best sequence of two."""
    matrix, weights = np.array(chances), np.array([0.3, 0.4, 0.3])
    cost = np.array(prices[: len(chances)])
    steps = best_sequence(matrix, weights, cost, worth_seconds=worth, max_attempts=max_attempts)
    chosen = tuple(step.candidate for step in steps)
    reachable = [
        candidates
        for length in range(1, min(max_attempts, 2, len(chances)) + 1)
        for candidates in itertools.permutations(range(len(chances)), length)
    ]
    best = max(utility(candidates, matrix, weights, cost, worth) for candidates in reachable)

    assert len(set(chosen)) == len(chosen) <= max_attempts
    assert utility(chosen, matrix, weights, cost, worth) >= best - 1e-6
