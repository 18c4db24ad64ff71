"""Which models to try in which order, and when to stop: the sequence of attempts with the largest utility.

For attempts k = 1..K with chance p_k given that all before failed, and price s_k in seconds (own latency, the delay caused
to others, money), a sequence is worth

    U = sum over k of  P(all before k failed) * (V * p_k - s_k)

where V is what a correct answer is worth, in seconds. With S the models that have failed, F(S) the chance of that, and J(S) what is
still to be gained,

    J(S) = max(0, max over m not in S of  V * (F(S) - F(S+m)) - s_m * F(S) + J(S+m))

is solved exactly over the subsets of a handful of models. An attempt that adds nothing is not made: a hopeless question is given up
instead of being sent to the biggest model because it is there. The chances hang together by one latent difficulty per question
(`estimate.quality`): at each of its nodes the models are independent. RouteBalance is the case of one attempt, LAAR that of time alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

MOST_CANDIDATES = 8
"""Models that are weighed together; beyond, those with the best chance per second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One attempt of a sequence.

    Attributes:
        candidate: Index of the candidate.
        chance: P(correct) given that all earlier attempts failed.
        is_worth_it: True when the attempt, with what may follow it, adds to the utility at today's prices.
    """

    candidate: int
    chance: float
    is_worth_it: bool


def best_sequence(
    table: Floats, weights: Floats, price_seconds: Floats, *, worth_seconds: float, max_attempts: int
) -> tuple[Step, ...]:
    """Order the candidates as they are best tried, all of them up to the limit.

    The attempts that are worth it come first, in their best order; the others follow, since prices may have fallen by the time
    that they are reached. `value_of_going_on` decides then.

    Args:
        table: P(correct) of each candidate at each node of the latent difficulty, shape (candidates, nodes).
        weights: Weights of the nodes given what has failed before, shape (nodes,), summing to 1.
        price_seconds: What an attempt of each candidate costs, shape (candidates,), above 0.
        worth_seconds: What a correct answer is worth.
        max_attempts: Longest sequence, at least 1.

    Returns:
        At least one step, for every request is tried once.
    """
    considered = _considered(table, weights, price_seconds)
    chances, prices = table[considered], price_seconds[considered]
    horizon = min(max_attempts, len(considered))
    failing = _chance_that_all_fail(chances, weights)
    gains = _gains(failing, prices, worth_seconds, horizon=horizon)
    failing_of, best_after = failing.tolist(), gains.argmax(axis=1).tolist()
    steps: list[Step] = []
    failed, is_worth_it = 0, True
    for number in range(horizon):
        best = best_after[failed]
        is_worth_it = number == 0 or (is_worth_it and float(gains[failed, best]) > 0.0)
        reached, after = failing_of[failed], failing_of[failed | 1 << best]
        chance = 1.0 - after / reached if reached > 0.0 else 0.0
        steps.append(Step(candidate=int(considered[best]), chance=chance, is_worth_it=is_worth_it))
        failed |= 1 << best
    return tuple(steps)


def value_of_going_on(
    chances: Sequence[float], price_seconds: Sequence[float], *, worth_seconds: float
) -> float:
    """What the rest of a sequence in its order is worth with the best stop; 0 or less when stopping is best.

    Args:
        chances: P(correct) of each remaining attempt given that all before it failed; at least one.
        price_seconds: Price of each.
        worth_seconds: What a correct answer is worth.
    """
    value = 0.0
    for chance, price in zip(reversed(chances), reversed(price_seconds), strict=True):
        value = worth_seconds * chance - price + (1.0 - chance) * max(0.0, value)
    return value


def _considered(table: Floats, weights: Floats, price_seconds: Floats) -> npt.NDArray[np.int64]:
    if len(price_seconds) <= MOST_CANDIDATES:
        return np.arange(len(price_seconds))
    order = np.argsort(-(table @ weights) / price_seconds, kind="stable")
    return np.sort(order[:MOST_CANDIDATES])


def _chance_that_all_fail(table: Floats, weights: Floats) -> Floats:
    """F(S) for every subset S of the candidates, as a bit mask; shape (2 ** candidates,)."""
    surviving = np.empty((1 << len(table), len(weights)))
    surviving[0] = weights
    for candidate, failing in enumerate(1.0 - table):
        half = 1 << candidate
        np.multiply(surviving[:half], failing, out=surviving[half : 2 * half])
    result: Floats = surviving.sum(axis=1)
    return result


def _gains(failing: Floats, prices: Floats, worth_seconds: float, *, horizon: int) -> Floats:
    """What each next candidate adds after each set of failures, with the best that may follow.

    As many attempts were made as have failed, so J(S) is 0 for sets of `horizon` candidates or more.

    Returns:
        Shape (2 ** candidates, candidates); minus infinity for candidates that are in the set.
    """
    subsets = _SUBSETS[len(prices)]
    reached = failing[:, np.newaxis]
    gains: Floats = worth_seconds * (reached - failing[subsets.after]) - prices * reached
    gains += subsets.bar
    value = np.zeros(len(failing))
    for sets, after in subsets.by_size[:horizon][::-1]:
        found = gains[sets] + value[after]
        gains[sets] = found
        value[sets] = np.maximum(found.max(axis=1), 0.0)
    return gains


@dataclass(frozen=True, slots=True)
class _Subsets:
    """All sets of so many candidates as bit masks, and how they hang together.

    Attributes:
        after: The set with one candidate more, shape (sets, candidates).
        bar: Minus infinity where the candidate is in the set already, else 0, shape (sets, candidates).
        by_size: The sets of each size from 0 on, and `after` of these.
    """

    after: Ints
    bar: Floats
    by_size: tuple[tuple[Ints, Ints], ...]

    @classmethod
    def of(cls, count: int) -> _Subsets:
        masks = np.arange(1 << count)
        bits = 1 << np.arange(count)
        after = masks[:, np.newaxis] | bits
        is_member = after == masks[:, np.newaxis]
        sizes = is_member.sum(axis=1)
        by_size = tuple((sets, after[sets]) for sets in (np.flatnonzero(sizes == n) for n in range(count)))
        return cls(after, np.where(is_member, -np.inf, 0.0), by_size)


_SUBSETS = tuple(_Subsets.of(count) for count in range(MOST_CANDIDATES + 1))
"""By number of candidates."""
