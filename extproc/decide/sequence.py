"""Which models to try in which order, and when to stop: the sequence of attempts with the largest utility.

For attempts k = 1..K with chance p_k given that all before failed, and price s_k in seconds (own latency, the delay caused
to others, money), a sequence is worth

    U = sum over k of  P(all before k failed) * (V * p_k - s_k)

where V is what a correct answer is worth, in seconds. An attempt belongs into the sequence only while what it adds is
positive, so a hopeless question is given up instead of being sent to the biggest model because it is there. The chances hang
together by one latent difficulty per question (`estimate.quality`): at each of its nodes the models are independent, and a
failure multiplies the nodes' weights by (1 - p). RouteBalance is the case of one attempt, LAAR that of time alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One attempt of a sequence.

    Attributes:
        candidate: Index of the candidate.
        chance: P(correct) given that all earlier attempts failed.
        gain_seconds: What the attempt adds, once reached: V * chance - price.
    """

    candidate: int
    chance: float
    gain_seconds: float


def best_sequence(
    table: Floats,
    weights: Floats,
    price_seconds: Floats,
    *,
    worth_seconds: float,
    max_attempts: int,
    latency_seconds: Floats | None = None,
    deadline_seconds: float | None = None,
) -> tuple[Step, ...]:
    """Choose attempts one after the other, each with a look at the best one that could follow it.

    Args:
        table: P(correct) of each candidate at each node of the latent difficulty, shape (candidates, nodes).
        weights: Weights of the nodes given what has failed before, shape (nodes,), summing to 1.
        price_seconds: What an attempt of each candidate costs, shape (candidates,), above 0.
        worth_seconds: What a correct answer is worth.
        max_attempts: Longest sequence, at least 1.
        latency_seconds: Expected time of an attempt of each candidate; needed with a deadline.
        deadline_seconds: An attempt that is expected to end later is not added; None without a deadline.

    Returns:
        At least one step, for every request is tried once: the first has the largest gain even if it is negative.
    """
    steps: list[Step] = []
    remaining = list(range(len(price_seconds)))
    left = deadline_seconds
    while remaining and len(steps) < max_attempts:
        rows = np.array(remaining)
        chances = table[rows] @ weights
        gains = worth_seconds * chances - price_seconds[rows]
        allowed = np.ones(len(rows), dtype=np.bool_)
        if left is not None and latency_seconds is not None and steps:
            allowed = latency_seconds[rows] <= left
        follows = len(steps) + 1 < max_attempts
        values = (
            gains + _best_follow_up(table[rows], weights, price_seconds[rows], worth_seconds)
            if follows
            else gains
        )
        position = int(np.argmax(np.where(allowed, values, -np.inf)))
        if steps and (not allowed[position] or gains[position] <= 0.0):
            break
        chosen = remaining.pop(position)
        steps.append(
            Step(candidate=chosen, chance=float(chances[position]), gain_seconds=float(gains[position]))
        )
        weights = weights * (1.0 - table[chosen])
        total = weights.sum()
        if total <= 0.0:
            break
        weights = weights / total
        if left is not None and latency_seconds is not None:
            left -= float(latency_seconds[chosen])
    return tuple(steps)


def _best_follow_up(table: Floats, weights: Floats, price_seconds: Floats, worth_seconds: float) -> Floats:
    """What the best second attempt adds to each first one, weighed by the chance that it is reached; at least 0."""
    if len(table) < 2:
        return np.zeros(len(table))
    failing = weights * (1.0 - table)
    reached = failing.sum(axis=1)
    gain = worth_seconds * (failing @ table.T) - reached[:, np.newaxis] * price_seconds
    np.fill_diagonal(gain, 0.0)
    result: Floats = np.maximum(gain.max(axis=1), 0.0)
    return result
