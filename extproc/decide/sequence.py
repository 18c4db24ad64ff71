"""Which models to try in which order, and when to stop: the sequence of attempts with the largest utility.

For attempts k = 1..K with chance p_k given that all before failed, and price s_k in seconds (own latency, the delay caused
to others, money), a sequence is worth

    U = sum over k of  P(all before k failed) * (V * p_k - s_k)

where V is what a correct answer is worth, in seconds. With S the models that have failed, F(S) the chance of that, and J(S) what is
still to be gained,

    J(S) = max(0, max over m not in S of  V * (F(S) - F(S+m)) - s_m * F(S) + J(S+m))

is solved exactly over the subsets of a handful of models. An attempt that adds nothing is not made: a hopeless question is given up
instead of being sent to the biggest model because it is there. The chances hang together by one latent difficulty per question
(`estimate.quality`): at each of its nodes the models are independent.

Answers that are long for their model are hardly ever right, so that an attempt may be given a limit of tokens: a share r of the right answers
ends within it, and it saves a part of the price. The rest is cut, and the next attempt follows as after a wrong answer:

    V * r * (F(S) - F(S+m)) - (s_m - saved) * F(S) + J(S+m) * (1 + (1 - r) * (F(S) - F(S+m)) / F(S+m))

The last attempt is never cut: its answer is what the client gets. RouteBalance is the case of one attempt, LAAR that of time alone.
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


@dataclass(frozen=True, slots=True)
class Limits:
    """What the answers of one candidate may be cut at.

    Attributes:
        tokens: Limits in output tokens, ascending, shape (limits,), at least one.
        right_share: Share of the right answers that end within each, in [0, 1].
        saved_seconds: What each takes off the price, at least 0.
    """

    tokens: npt.NDArray[np.int64]
    right_share: Floats
    saved_seconds: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One attempt of a sequence.

    Attributes:
        candidate: Index of the candidate.
        chance: P(correct) given that all earlier attempts failed, within the limit.
        is_worth_it: True when the attempt, with what may follow it, adds to the utility at today's prices.
        max_tokens: Output tokens at which its answer is cut; None to let it come to its end.
    """

    candidate: int
    chance: float
    is_worth_it: bool
    max_tokens: int | None = None


def best_sequence(
    table: Floats,
    weights: Floats,
    price_seconds: Floats,
    *,
    worth_seconds: float,
    max_attempts: int,
    limits: Sequence[Limits | None] = (),
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
        limits: For each candidate what its answers may be cut at, None for nothing; empty for none of them.

    Returns:
        At least one step, for every request is tried once.
    """
    considered = _considered(table, weights, price_seconds)
    chances, prices = table, price_seconds
    if len(considered) < len(prices):
        chances, prices = table[considered], price_seconds[considered]
    horizon = min(max_attempts, len(considered))
    failing = _chance_that_all_fail(chances, weights)
    cuts = _Cuts.of([limits[index] for index in considered]) if limits else None
    gains, value = _gains(failing, prices, worth_seconds, cuts, horizon=horizon)
    failing_of, best_after, after_of = (
        failing.tolist(),
        gains.argmax(axis=1).tolist(),
        _SUBSETS[len(prices)].after,
    )
    steps: list[Step] = []
    failed, is_worth_it = 0, True
    for number in range(horizon):
        best = best_after[failed]
        after = int(after_of[failed, best])
        is_worth_it = number == 0 or (is_worth_it and float(gains[failed, best]) > 0.0)
        reached = failing_of[failed]
        chance = 1.0 - failing_of[after] / reached if reached > 0.0 else 0.0
        max_tokens = None
        if cuts is not None:
            limit = cuts.best(best, reached, failing_of[after], float(value[after]), worth_seconds)
            known = limits[considered[best]]
            if limit is not None and known is not None:
                chance, max_tokens = chance * float(known.right_share[limit]), int(known.tokens[limit])
        steps.append(
            Step(
                candidate=considered[best],
                chance=chance,
                is_worth_it=is_worth_it,
                max_tokens=max_tokens,
            )
        )
        failed = after
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


def _considered(table: Floats, weights: Floats, price_seconds: Floats) -> list[int]:
    if len(price_seconds) <= MOST_CANDIDATES:
        return list(range(len(price_seconds)))
    order = np.argsort(-(table @ weights) / price_seconds, kind="stable")
    return sorted(order[:MOST_CANDIDATES].tolist())


def _chance_that_all_fail(table: Floats, weights: Floats) -> Floats:
    """F(S) for every subset S of the candidates in the order of `_Subsets`, shape (2 ** candidates,)."""
    surviving = np.empty((1 << len(table), len(weights)))
    surviving[0] = weights
    for candidate, failing in enumerate(1.0 - table):
        half = 1 << candidate
        np.multiply(surviving[:half], failing, out=surviving[half : 2 * half])
    result: Floats = np.add.reduce(surviving, axis=1).take(_SUBSETS[len(table)].masks)
    return result


@dataclass(frozen=True, slots=True)
class _Cuts:
    """The limits of all candidates side by side.

    Attributes:
        lost_share: Share of the right answers that each limit cuts, shape (limits, candidates); 0 where there is none.
        saved_seconds: What each takes off the price, shape (limits, candidates); 0 where there is none.
    """

    lost_share: Floats
    saved_seconds: Floats

    @classmethod
    def of(cls, limits: Sequence[Limits | None]) -> _Cuts | None:
        """None when no candidate has limits."""
        most = max((len(one.tokens) for one in limits if one is not None), default=0)
        if not most:
            return None
        lost, saved = np.zeros((most, len(limits))), np.zeros((most, len(limits)))
        for candidate, one in enumerate(limits):
            if one is not None:
                lost[: len(one.tokens), candidate] = 1.0 - one.right_share
                saved[: len(one.tokens), candidate] = one.saved_seconds
        return cls(lost, saved)

    def saved(self, reached: Floats) -> Floats:
        """What each limit saves after each set of failures, shape (limits, sets, candidates).

        Args:
            reached: F(S), shape (sets, 1).
        """
        result: Floats = self.saved_seconds[:, np.newaxis, :] * reached
        return result

    def gain(self, saved: Floats, right: Floats, following: Floats, worth_seconds: float) -> Floats:
        """What the best limit adds to attempts, at least 0; to the last one, which nothing follows, none does.

        Args:
            saved: See above, of the sets that are asked about.
            right: F(S) - F(S+m), shape (sets, candidates).
            following: J(S+m) / F(S+m), of the same shape.
            worth_seconds: V.
        """
        change = (following - worth_seconds) * right * self.lost_share[:, np.newaxis, :]
        change += saved
        best = np.maximum.reduce(change, axis=0, initial=0.0)
        result: Floats = best * (following > 0.0)
        return result

    def best(
        self, candidate: int, reached: float, failing: float, following: float, worth_seconds: float
    ) -> int | None:
        """Index of the limit that adds most to one attempt; None when none does."""
        if following <= 0.0 or failing <= 0.0:
            return None
        scale = (following / failing - worth_seconds) * (reached - failing)
        lost, saved = self.lost_share[:, candidate].tolist(), self.saved_seconds[:, candidate].tolist()
        change = [one * reached + scale * other for one, other in zip(saved, lost, strict=True)]
        most = max(change)
        return change.index(most) if most > 0.0 else None


def _gains(
    failing: Floats, prices: Floats, worth_seconds: float, cuts: _Cuts | None, *, horizon: int
) -> tuple[Floats, Floats]:
    """What each next candidate adds after each set of failures, with the best that may follow.

    As many attempts were made as have failed, so J(S) is 0 for sets of `horizon` candidates or more.

    Returns:
        Gains, shape (2 ** candidates, candidates), minus infinity for candidates that are in the set; and J(S). Sets are in the
        order of `_Subsets`.
    """
    subsets = _SUBSETS[len(prices)]
    reached = failing[:, np.newaxis]
    failing_after = failing.take(subsets.after)
    right = reached - failing_after
    gains: Floats = worth_seconds * right
    gains -= prices * reached
    gains += subsets.bar
    value = np.zeros(len(failing))
    last = subsets.sizes[horizon - 1]
    np.maximum.reduce(gains[last], axis=1, initial=0.0, out=value[last])
    if cuts is not None and horizon > 1:
        saved, divisor = cuts.saved(reached), np.maximum(failing_after, 1e-12)
    for sets in subsets.sizes[: horizon - 1][::-1]:
        found, following = gains[sets], value.take(subsets.after[sets])
        found += following
        if cuts is not None:
            following /= divisor[sets]
            found += cuts.gain(saved[:, sets], right[sets], following, worth_seconds)
        np.maximum.reduce(found, axis=1, initial=0.0, out=value[sets])
    return gains, value


@dataclass(frozen=True, slots=True)
class _Subsets:
    """All sets of so many candidates, small ones first, and how they hang together.

    Attributes:
        masks: Each set as a bit mask, shape (sets,).
        after: Position of the set with one candidate more, shape (sets, candidates).
        bar: Minus infinity where the candidate is in the set already, else 0, shape (sets, candidates).
        sizes: Where the sets of each size stand, from 0 on.
    """

    masks: Ints
    after: Ints
    bar: Floats
    sizes: tuple[slice, ...]

    @classmethod
    def of(cls, count: int) -> _Subsets:
        bits = 1 << np.arange(count)
        by_mask = np.arange(1 << count)
        sizes = ((by_mask[:, np.newaxis] & bits) > 0).sum(axis=1)
        masks = np.argsort(sizes, kind="stable")
        position = np.argsort(masks)
        is_member = (masks[:, np.newaxis] & bits) > 0
        ends = np.cumsum(np.bincount(sizes)).tolist()
        return cls(
            masks=masks,
            after=position[masks[:, np.newaxis] | bits],
            bar=np.where(is_member, -np.inf, 0.0),
            sizes=tuple(slice(start, end) for start, end in zip((0, *ends), ends, strict=False)),
        )


_SUBSETS = tuple(_Subsets.of(count) for count in range(MOST_CANDIDATES + 1))
"""By number of candidates."""
