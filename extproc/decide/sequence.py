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
    failing = _chance_that_all_fail(chances, weights)
    value = _value(failing, prices, worth_seconds, horizon=max_attempts)
    steps: list[Step] = []
    failed = 0
    for made in range(min(max_attempts, len(considered))):
        best, gain = _best_next(failed, failing, prices, worth_seconds, value[made + 1])
        reached = failing[failed]
        after = failing[failed | 1 << best]
        chance = 1.0 - after / reached if reached > 0.0 else 0.0
        is_worth_it = gain > 0.0 and all(step.is_worth_it for step in steps)
        steps.append(
            Step(candidate=int(considered[best]), chance=float(chance), is_worth_it=is_worth_it or not steps)
        )
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
    surviving = weights[np.newaxis, :]
    for chances in table:
        surviving = np.concatenate((surviving, surviving * (1.0 - chances)))
    result: Floats = surviving.sum(axis=1)
    return result


def _value(failing: Floats, prices: Floats, worth_seconds: float, *, horizon: int) -> list[Floats]:
    """J(S) by number of attempts made before, so that no more than `horizon` are; the last entry is zero."""
    count = len(prices)
    masks = np.arange(len(failing))
    values = [np.zeros(len(failing))]
    for _ in range(min(horizon, count)):
        following = values[0]
        best = np.zeros(len(failing))
        for candidate in range(count):
            after = masks | (1 << candidate)
            gain = worth_seconds * (failing - failing[after]) - prices[candidate] * failing + following[after]
            best = np.where(after != masks, np.maximum(best, gain), best)
        values.insert(0, best)
    return values


def _best_next(
    failed: int, failing: Floats, prices: Floats, worth_seconds: float, following: Floats
) -> tuple[int, float]:
    """The best next candidate after a set of failures, and what it adds together with what follows."""
    best, best_gain = -1, -np.inf
    for candidate in range(len(prices)):
        after = failed | 1 << candidate
        if after == failed:
            continue
        gain = float(
            worth_seconds * (failing[failed] - failing[after])
            - prices[candidate] * failing[failed]
            + following[after]
        )
        if gain > best_gain:
            best, best_gain = candidate, gain
    return best, best_gain
