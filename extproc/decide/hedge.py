"""When a try that takes long is raced by the plan's next one: with a deadline, and only when that pays.

A try that is still running t seconds after its start is waited for, or raced: Envoy hedges, the first answer wins and the other try is
cancelled. With D the deadline, V the worth of a right answer, L the latency of a try, p its chance and c what a second of it costs
others (delay and money), these are worth, from t on and in seconds,

    wait   V · P(right by D) - E[C] - c1 · E[T - t]               T = min(L1, D)
    race   V · P(right by D) - E[C] - (1 + c1 + c2) · E[T - t]    T = min(L1, t + L2, D), right with p1 or p2, by who was first

C is the client's time until a right answer, the deadline when none comes: a wrong answer that comes early wins nothing. T is what is
run: a race occupies a second instance, whose own work counts, and the delay that it causes there. What a race gains on average is

    G(t) = P(L1 > t) · (race - wait)

and the t with the largest G is taken; when none is positive, the try is waited for. Latencies are log-normal through their median and
upper quantile, and partly the question's own: what is long here is long there (`COMMON_SHARE`). A small share of tries never ends
and costs others nothing: the longer a try has been running beyond what is usual, the likelier it is one of those, so the later a
race, the surer it pays, while less time is left for it.

Envoy has one timeout for all tries of a request. So t is a quantile of every attempt that another one follows, lest a slow model
second in the plan be raced for being what it is.
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
"""Shares of tries that are over when a race begins; a try that is overtaken earlier would be nothing unusual."""

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
        median_seconds: Its latency, above 0.
        upper_seconds: Its latency's quantile `UPPER_QUANTILE`, at least the median.
        chance: P(correct) whatever the other attempts say, in [0, 1].
        cost_per_second: What each second that it runs costs others: delay in seconds, money in what that is worth.
    """

    median_seconds: float
    upper_seconds: float
    chance: float
    cost_per_second: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Hedge:
    """A race that is worth it.

    Attributes:
        after_seconds: How long a try has been running when the next one starts.
        gain_seconds: What that is worth on average over all requests with these figures, against waiting; above 0.
    """

    after_seconds: float
    gain_seconds: float


def worthwhile_hedge(
    runners: Sequence[Runner], *, deadline_seconds: float, worth_seconds: float
) -> Hedge | None:
    """Say when tries are raced; None when it is best to wait for each until the deadline.

    Args:
        runners: The plan's attempts in order.
        deadline_seconds: Time from the first try's start after which an answer is of no use, above 0.
        worth_seconds: What a correct answer is worth.
    """
    if len(runners) < 2:
        return None
    limits = np.max([_latency(runner, _LIMIT_SCORES) for runner in runners[:-1]], axis=0)
    gains = _gains(limits, runners[0], runners[1], deadline_seconds, worth_seconds)
    best = int(np.argmax(gains))
    if gains[best] <= 0.0:
        return None
    return Hedge(after_seconds=float(limits[best]), gain_seconds=float(gains[best]))


def _gains(
    limits: Floats, first: Runner, following: Runner, deadline_seconds: float, worth_seconds: float
) -> Floats:
    """G(t) for each t of `limits`; nothing where the deadline comes first.

    Arrays have the shape (limits, latencies of the first, latencies of the next).
    """
    tail = np.append(_latency(first, _TAIL), _NEVER)
    runs = np.full((len(tail), len(_NEXT_WEIGHTS)), _NEVER)
    runs[:, :-1] = _latency(following, _NEXT_SCORES)
    limit = limits[:, np.newaxis, np.newaxis]
    own = tail[:, np.newaxis]
    other = limit + runs
    cost = first.cost_per_second * _IS_ALIVE
    chance = np.where(other < own, following.chance, first.chance)
    own_end = np.minimum(own, deadline_seconds)
    end = np.minimum(own_end, other)
    wait = first.chance * _worth(own_end, deadline_seconds, worth_seconds) - cost * (own_end - limit)
    race = chance * _worth(end, deadline_seconds, worth_seconds) - (
        1.0 + cost + following.cost_per_second
    ) * (end - limit)
    is_reached = (tail > limits[:, np.newaxis]) & (limits < deadline_seconds)[:, np.newaxis]
    result: Floats = (((race - wait) @ _NEXT_WEIGHTS) * is_reached) @ _FIRST_WEIGHTS
    return result


def _worth(end: Floats, deadline_seconds: float, worth_seconds: float) -> Floats:
    """What a right answer at `end` is worth over none by the deadline: the time that is left counts, too."""
    left = deadline_seconds - end
    result: Floats = np.where(left > 0.0, worth_seconds + left, 0.0)
    return result


def _latency(runner: Runner, scores: Floats) -> Floats:
    """Latencies at standard scores."""
    spread = max(0.0, math.log(runner.upper_seconds / runner.median_seconds)) / _UPPER_SCORE
    result: Floats = runner.median_seconds * np.exp(spread * scores)
    return result
