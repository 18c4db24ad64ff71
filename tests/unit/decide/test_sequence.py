from __future__ import annotations

import functools
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.decide.sequence import MOST_CANDIDATES, Floats, Limits, Step, best_sequence, value_of_going_on

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


def worthwhile(*args: object, **values: object) -> list[int]:
    """Candidates of the steps that are worth it, in order."""
    return [step.candidate for step in best_sequence(*args, **values) if step.is_worth_it]  # type: ignore[arg-type]


def test_one_attempt_weighs_chance_against_price() -> None:
    """With a single attempt the candidate with the largest gain wins: RouteBalance's case."""
    (step,) = best_sequence(
        table(0.5, 0.9), ONE_NODE, np.array([1.0, 30.0]), worth_seconds=40.0, max_attempts=1
    )
    assert (0, 0.5) == (step.candidate, step.chance)

    (step,) = best_sequence(
        table(0.5, 0.9), ONE_NODE, np.array([1.0, 10.0]), worth_seconds=40.0, max_attempts=1
    )
    assert step.candidate == 1


def test_a_cheap_try_goes_first_when_a_second_may_follow() -> None:
    """What is second best alone can be the better first of two."""
    prices = np.array([1.0, 10.0])

    assert [1] == worthwhile(table(0.5, 0.9), ONE_NODE, prices, worth_seconds=40.0, max_attempts=1)
    assert [0, 1] == worthwhile(table(0.5, 0.9), ONE_NODE, prices, worth_seconds=40.0, max_attempts=2)


def test_what_is_not_worth_it_is_listed_behind() -> None:
    """Attempts whose chance does not pay their price follow marked, for prices may fall until they are reached."""
    steps = best_sequence(
        table(0.6, 0.1, 0.05), ONE_NODE, np.array([2.0, 5.0, 5.0]), worth_seconds=40.0, max_attempts=3
    )

    assert [(0, True), (1, False), (2, False)] == [(step.candidate, step.is_worth_it) for step in steps]


def test_every_request_is_tried_once() -> None:
    """Also a hopeless one, where it costs least."""
    steps = best_sequence(
        table(0.01, 0.01), ONE_NODE, np.array([9.0, 8.0]), worth_seconds=1.0, max_attempts=3
    )

    assert [(1, True), (0, False)] == [(step.candidate, step.is_worth_it) for step in steps]


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
        worthwhile(easy_or_hard, weights, np.array([1.0, 10.0]), worth_seconds=40.0, max_attempts=2)
    )


def test_many_models_are_narrowed_to_the_promising() -> None:
    """Beyond the limit only the best chances per second are weighed, so that the work stays bounded."""
    count = MOST_CANDIDATES + 3
    chances = np.linspace(0.1, 0.9, count)
    steps = best_sequence(
        chances[:, np.newaxis], ONE_NODE, np.ones(count), worth_seconds=40.0, max_attempts=count
    )

    assert set(range(3, count)) == {step.candidate for step in steps}


def test_going_on_looks_ahead() -> None:
    """A poor next attempt is worth making when a good one stands behind it, and stopping is worth nothing."""
    assert value_of_going_on([0.1], [5.0], worth_seconds=40.0) == pytest.approx(-1.0)
    assert value_of_going_on([0.1, 0.9], [5.0, 5.0], worth_seconds=40.0) == pytest.approx(-1.0 + 0.9 * 31.0)
    assert value_of_going_on([0.5, 0.1], [5.0, 50.0], worth_seconds=40.0) == pytest.approx(15.0)


@given(
    chances=st.lists(st.lists(st.floats(0.01, 0.99), min_size=3, max_size=3), min_size=1, max_size=4),
    prices=st.lists(st.floats(0.1, 30.0), min_size=4, max_size=4),
    worth=st.floats(1.0, 200.0),
    max_attempts=st.integers(1, 4),
)
def test_it_is_the_best_of_all_sequences(
    chances: list[list[float]], prices: list[float], worth: float, max_attempts: int
) -> None:
    """No sequence within the limit is worth more than the steps that are called worth it."""
    matrix, weights = np.array(chances), np.array([0.3, 0.4, 0.3])
    cost = np.array(prices[: len(chances)])
    steps = best_sequence(matrix, weights, cost, worth_seconds=worth, max_attempts=max_attempts)
    chosen = tuple(step.candidate for step in steps if step.is_worth_it)
    reachable = [
        candidates
        for length in range(1, min(max_attempts, len(chances)) + 1)
        for candidates in itertools.permutations(range(len(chances)), length)
    ]
    best = max(utility(candidates, matrix, weights, cost, worth) for candidates in reachable)

    assert len({step.candidate for step in steps}) == len(steps) == min(max_attempts, len(chances))
    assert utility(chosen, matrix, weights, cost, worth) >= best - 1e-6


def weighed_one_by_one(
    chances: Floats, weights: Floats, prices: Floats, worth: float, limit: int
) -> list[Step]:
    """The recursion as the module's text states it, set by set and candidate by candidate."""
    count = len(prices)

    def failing(failed: frozenset[int]) -> float:
        surviving = weights.copy()
        for candidate in sorted(failed):
            surviving = surviving * (1.0 - chances[candidate])
        return float(surviving.sum())

    def gain(failed: frozenset[int], candidate: int) -> float:
        after = failed | {candidate}
        reached = failing(failed)
        own = worth * (reached - failing(after)) - float(prices[candidate]) * reached
        return own + value(after)

    @functools.cache
    def value(failed: frozenset[int]) -> float:
        if len(failed) == min(limit, count):
            return 0.0
        return max(0.0, *(gain(failed, candidate) for candidate in set(range(count)) - failed))

    steps: list[Step] = []
    failed: frozenset[int] = frozenset()
    while len(failed) < min(limit, count):
        left = [candidate for candidate in range(count) if candidate not in failed]
        best = max(left, key=lambda candidate: gain(failed, candidate))
        is_worth_it = not steps or (steps[-1].is_worth_it and gain(failed, best) > 0.0)
        chance = 1.0 - failing(failed | {best}) / failing(failed)
        steps.append(Step(candidate=best, chance=chance, is_worth_it=is_worth_it))
        failed |= {best}
    return steps


@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(1, 6),
    limit=st.integers(1, 7),
    worth=st.floats(0.5, 100.0),
)
def test_all_sets_at_once_give_what_one_by_one_gives(seed: int, count: int, limit: int, worth: float) -> None:
    """The same candidates in the same order with the same chances and marks as from the plain recursion."""
    rng = np.random.default_rng(seed)
    chances, prices = rng.uniform(0.01, 0.99, (count, 5)), rng.uniform(0.1, 30.0, count)
    weights = rng.dirichlet(np.ones(5))

    expected = weighed_one_by_one(chances, weights, prices, worth, limit)
    steps = best_sequence(chances, weights, prices, worth_seconds=worth, max_attempts=limit)
    assert [(step.candidate, step.is_worth_it) for step in expected] == [
        (step.candidate, step.is_worth_it) for step in steps
    ]
    assert pytest.approx([step.chance for step in expected]) == [step.chance for step in steps]


def test_a_limit_that_saves_more_than_it_loses_is_set_on_all_but_the_last_attempt() -> None:
    """Half the price for a twentieth of the right answers: taken where another attempt follows, never at the end."""
    cheap = Limits(np.array([200]), np.array([0.95]), np.array([5.0]))
    table = np.array([[0.5], [0.6]])

    steps = best_sequence(
        table,
        np.ones(1),
        np.array([10.0, 30.0]),
        worth_seconds=100.0,
        max_attempts=2,
        limits=[cheap, cheap],
    )

    assert [0, 1] == [step.candidate for step in steps]
    assert [200, None] == [step.max_tokens for step in steps]
    assert steps[0].chance == pytest.approx(0.95 * 0.5)


def test_a_limit_that_loses_more_than_it_saves_is_not_set() -> None:
    """Half of the right answers for a tenth of the price is no bargain."""
    dear = Limits(np.array([50]), np.array([0.5]), np.array([1.0]))

    steps = best_sequence(
        np.array([[0.5], [0.6]]),
        np.ones(1),
        np.array([10.0, 30.0]),
        worth_seconds=100.0,
        max_attempts=2,
        limits=[dear, None],
    )

    assert [None, None] == [step.max_tokens for step in steps]


@given(
    chances=st.lists(st.floats(0.05, 0.95), min_size=2, max_size=4),
    worth=st.floats(1.0, 500.0),
    seed=st.integers(0, 1000),
)
def test_limits_are_chosen_as_by_trying_all(chances: list[float], worth: float, seed: int) -> None:
    """For independent candidates no order with no other limits is worth more."""
    rng = np.random.default_rng(seed)
    count = len(chances)
    prices = rng.uniform(1.0, 50.0, count)
    shares = np.sort(rng.uniform(0.3, 1.0, (count, 2)), axis=1)
    saved = -np.sort(-rng.uniform(0.0, 1.0, (count, 2)), axis=1) * prices[:, np.newaxis]
    limits = [Limits(np.array([10, 20]), shares[row], saved[row]) for row in range(count)]

    def value(order: tuple[int, ...], chosen: tuple[int, ...]) -> float:
        worth_of = 0.0
        for candidate, limit in reversed(list(zip(order, chosen, strict=True))):
            share, off = (1.0, 0.0) if limit < 0 else (shares[candidate, limit], saved[candidate, limit])
            if limit >= 0 and worth_of <= 0.0:
                return -np.inf
            chance = chances[candidate] * share
            worth_of = worth * chance - (prices[candidate] - off) + (1.0 - chance) * max(0.0, worth_of)
        return worth_of

    steps = best_sequence(
        np.array(chances)[:, np.newaxis],
        np.ones(1),
        prices,
        worth_seconds=worth,
        max_attempts=count,
        limits=limits,
    )
    made = [step for number, step in enumerate(steps) if number == 0 or step.is_worth_it]
    found = value(
        tuple(step.candidate for step in made),
        tuple(-1 if step.max_tokens is None else (10, 20).index(step.max_tokens) for step in made),
    )

    best = max(
        value(order, chosen)
        for length in range(1, count + 1)
        for order in itertools.permutations(range(count), length)
        for chosen in itertools.product((-1, 0, 1), repeat=length)
    )
    assert found == pytest.approx(best, rel=1e-6, abs=1e-6)
