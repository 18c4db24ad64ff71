"""How long a plan's try is waited for, and what follows then: with a deadline, waiting is a decision like any other.

A try that is still running t seconds after its start is waited for; or raced, where Envoy hedges: the plan's next one starts beside it,
the first answer wins and the other try is cancelled; or given up for the next one. With D the deadline, V the worth of a right answer,
L the latency of a try, p its chance and c what a second of it costs others (delay and money), these are worth, from t on and in seconds,

    wait     V · P(right by D) - E[C] - c1 · E[T - t]               T = min(L1, D)
    race     V · P(right by D) - E[C] - (1 + c1 + c2) · E[T - t]    T = min(L1, t + L2, D), right with p1 or p2, by who was first
    give up  V · P(right by D) - E[C] - c2 · E[T - t]               T = min(t + L2, 2t, D), for the next try is given up, too

C is the client's time until a right answer, the deadline when none comes: a wrong answer that comes early wins nothing. T is what is
run: a race occupies a second instance, whose own work counts, and the delay that it causes there. What another course than waiting
gains on average is

    G(t) = P(L1 > t) · (race or give up - wait)

and the t with the largest G is taken; when none is positive, tries are waited for. Latencies are log-normal through their expectation
and upper quantile, and partly the question's own: what is long here is long there (`COMMON_SHARE`). A small share of tries never ends
and costs others nothing: the longer a try has been running beyond what is usual, the likelier it is one of those, so the later t,
the surer the gain, while less time is left for it.

Envoy has one timeout for all tries of a request. So t is a quantile of every attempt that another one follows (of every attempt where
they are given up), lest a slow model second in the plan be raced, or given up, for being what it is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import NormalDist

import numpy as np

from extproc.estimate.forecast import UPPER_QUANTILE
from extproc.fleet.snapshot import Floats

QUANTILES = (UPPER_QUANTILE, 0.98, 0.99, 0.995, 0.999)
"""Shares of tries that are over at t; a try that is overtaken or given up earlier would be nothing unusual."""

STALLED_SHARE = 0.005
"""Tries that never end: a wedged engine, a lost connection. A prior; a long wait moves it by itself."""

COMMON_SHARE = 0.5
"""Share of the variance of a latency's logarithm that is the question's, mostly its answer's length, and not the try's."""

_NODES_PER_BAND = 4
_NODES_OF_NEXT = 12
_STANDARD = NormalDist()
_NEVER = 1e9


def _beyond() -> tuple[Floats, Floats]:
    """Nodes of a standard normal variable beyond the first of `QUANTILES`, and their weights."""
    edges = (*QUANTILES, 1.0)
    nodes, weights = [], []
    for low, high in pairwise(edges):
        for number in range(_NODES_PER_BAND):
            nodes.append(_STANDARD.inv_cdf(low + (high - low) * (number + 0.5) / _NODES_PER_BAND))
            weights.append((high - low) / _NODES_PER_BAND)
    return np.array(nodes), np.array(weights)


_TAIL, _TAIL_WEIGHTS = _beyond()
_FIRST_WEIGHTS: Floats = np.append((1.0 - STALLED_SHARE) * _TAIL_WEIGHTS, STALLED_SHARE)
_NEXT: Floats = np.array([_STANDARD.inv_cdf((n + 0.5) / _NODES_OF_NEXT) for n in range(_NODES_OF_NEXT)])
_NEXT_WEIGHTS: Floats = np.append(
    np.full(_NODES_OF_NEXT, (1.0 - STALLED_SHARE) / _NODES_OF_NEXT), STALLED_SHARE
)
_NEXT_SCORES: Floats = np.vstack(
    (COMMON_SHARE * _TAIL[:, np.newaxis] + math.sqrt(1.0 - COMMON_SHARE**2) * _NEXT, _NEXT)
)
"""Scores of the next try's latency: a row for each node of the first's, and one for a first try that has stalled."""

_LIMIT_SCORES: Floats = np.array([_STANDARD.inv_cdf(quantile) for quantile in QUANTILES])
_UPPER_SCORE = _STANDARD.inv_cdf(UPPER_QUANTILE)
_IS_ALIVE: Floats = np.append(np.ones(len(_TAIL)), 0.0)[:, np.newaxis]


@dataclass(frozen=True, slots=True, kw_only=True)
class Runner:
    """An attempt as it would run against the clock.

    Attributes:
        expected_seconds: Its latency, above 0.
        upper_seconds: Its latency's quantile `UPPER_QUANTILE`, at least the expected one.
        chance: P(correct) whatever the other attempts say, in [0, 1].
        cost_per_second: What each second that it runs costs others: delay in seconds, money in what that is worth.
    """

    expected_seconds: float
    upper_seconds: float
    chance: float
    cost_per_second: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long each try of a plan is waited for, where that is not until the deadline.

    Attributes:
        seconds: How long a try has been running when the next one starts.
        hedges: True when that one races it, False when the try is given up.
        gain_seconds: What this is worth on average over all requests with these figures, against waiting; above 0.
    """

    seconds: float
    hedges: bool
    gain_seconds: float


def worthwhile_patience(
    runners: Sequence[Runner], *, deadline_seconds: float, worth_seconds: float, can_race: bool
) -> Patience | None:
    """Say how long tries are waited for; None when it is best to wait for each until the deadline.

    Args:
        runners: The plan's attempts in order.
        deadline_seconds: Time from the first try's start after which an answer is of no use, above 0.
        worth_seconds: What a correct answer is worth.
        can_race: True to race tries that are late, False to give them up.
    """
    if len(runners) < 2:
        return None
    bounded = runners[:-1] if can_race else runners
    limits = np.max([_latency(runner, _LIMIT_SCORES) for runner in bounded], axis=0)
    clock = _Clock(deadline_seconds, worth_seconds)
    gains = _gains(limits, runners[0], runners[1], clock, can_race=can_race)
    best = int(np.argmax(gains))
    if gains[best] <= 0.0:
        return None
    return Patience(seconds=float(limits[best]), hedges=can_race, gain_seconds=float(gains[best]))


@dataclass(frozen=True, slots=True)
class _Clock:
    deadline_seconds: float
    worth_seconds: float

    def worth(self, end: Floats) -> Floats:
        """What a right answer at `end` is worth over none by the deadline: the time that is left counts, too."""
        left = self.deadline_seconds - end
        result: Floats = np.where(left > 0.0, self.worth_seconds + left, 0.0)
        return result


def _gains(limits: Floats, first: Runner, following: Runner, clock: _Clock, *, can_race: bool) -> Floats:
    """G(t) for each t of `limits`; nothing where the deadline comes first.

    Arrays have the shape (limits, latencies of the first, latencies of the next).
    """
    deadline = clock.deadline_seconds
    tail = np.append(_latency(first, _TAIL), _NEVER)
    runs = np.full((len(tail), len(_NEXT_WEIGHTS)), _NEVER)
    runs[:, :-1] = _latency(following, _NEXT_SCORES)
    limit = limits[:, np.newaxis, np.newaxis]
    own = np.minimum(tail[:, np.newaxis], deadline)
    cost = first.cost_per_second * _IS_ALIVE
    wait = first.chance * clock.worth(own) - cost * (own - limit)
    if can_race:
        end = np.minimum(own, limit + runs)
        chance = np.where(limit + runs < tail[:, np.newaxis], following.chance, first.chance)
        rate = 1.0 + cost + following.cost_per_second
    else:
        end = np.minimum(limit + np.minimum(runs, limit), deadline)
        chance = np.where(runs <= limit, following.chance, 0.0)
        rate = np.full_like(cost, following.cost_per_second)
    other = chance * clock.worth(end) - rate * (end - limit)
    is_reached = (tail > limits[:, np.newaxis]) & (limits < deadline)[:, np.newaxis]
    result: Floats = (((other - wait) @ _NEXT_WEIGHTS) * is_reached) @ _FIRST_WEIGHTS
    return result


def _latency(runner: Runner, scores: Floats) -> Floats:
    """Latencies at standard scores."""
    spread = max(0.0, math.log(runner.upper_seconds / runner.expected_seconds)) / _UPPER_SCORE
    result: Floats = runner.expected_seconds * np.exp(spread * scores)
    return result
