"""Every policy of the fleet file in one table: by what it prefers one instance, or one model, to another.

A policy is one of two things. `ByWork` sorts instances by a key that their load gives, which takes microseconds. `ByForecast`
also sees chances, latencies and prices of the request on every candidate, and may name attempts on several models. To add a policy is
to add a function and its line in `POLICIES`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from extproc.decide import order
from extproc.decide.first_correct import (
    Objective,
    Ranking,
    rank_first_correct,
    rank_laar,
    rank_load_aware,
    rank_session_affinity,
    same_model_first,
)
from extproc.decide.order import Policy
from extproc.decide.route_balance import QualityNorm, order_by_score, score_terms
from extproc.decide.weights import Weights
from extproc.estimate.predictions import Predictions
from extproc.fleet.snapshot import FleetSnapshot
from extproc.sessions.book import SessionHistory


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What a policy may look at besides the load.

    Attributes:
        predictions: Figures by candidate.
        snapshot: The fleet's load.
        history: What is known of the request's session.
        horizon: Attempts that may still be made, in this plan or by a client who asks again; 1 when nobody judges.
        may_cut: True when the gateway makes the attempts itself, so that a cut answer is followed by the next one.
        objective: What is weighed, in seconds.
        weights: The same as weights, for scores.
        quality_norm: How quality enters a score.
        laar_penalty: Factor of LAAR on a model that has failed.
    """

    predictions: Predictions
    snapshot: FleetSnapshot
    history: SessionHistory | None
    horizon: int
    may_cut: bool
    objective: Objective
    weights: Weights
    quality_norm: QualityNorm
    laar_penalty: float


@dataclass(frozen=True, slots=True)
class ByWork:
    """A policy over instances of the chosen pool.

    Attributes:
        key: Sort key, lower first.
    """

    key: order.Key


@dataclass(frozen=True, slots=True)
class ByForecast:
    """A policy over models and instances at once.

    Attributes:
        rank: Names the attempts in their order.
        is_conditional: True when it wants chances given what has failed in the session.
        takes_weights: True when weights, and so a client's wish for others, bear on it.
    """

    rank: Callable[[Case], Ranking]
    is_conditional: bool = False
    takes_weights: bool = False


def _first_correct(case: Case) -> Ranking:
    return rank_first_correct(
        case.predictions, case.snapshot, case.objective, horizon=case.horizon, may_cut=case.may_cut
    )


def _route_balance(case: Case) -> Ranking:
    terms = score_terms(case.predictions, case.weights, case.quality_norm)
    positions = order_by_score(terms, case.predictions.rows, case.snapshot)
    return same_model_first(case.predictions, positions, "score")


def _laar(case: Case) -> Ranking:
    return rank_laar(case.predictions, case.snapshot, penalty=case.laar_penalty)


def _load_aware(case: Case) -> Ranking:
    return rank_load_aware(case.predictions, case.snapshot)


def _session_affinity(case: Case) -> Ranking:
    return rank_session_affinity(case.predictions, case.snapshot, case.history)


POLICIES: Mapping[Policy, ByWork | ByForecast] = MappingProxyType(
    {
        Policy.FIRST_CORRECT: ByForecast(_first_correct, is_conditional=True, takes_weights=True),
        Policy.ROUTE_BALANCE: ByForecast(_route_balance, takes_weights=True),
        Policy.LAAR: ByForecast(_laar),
        Policy.LOAD_AWARE: ByForecast(_load_aware),
        Policy.SESSION_AFFINITY: ByForecast(_session_affinity),
        Policy.LEAST_WORK: ByWork(order.least_work),
        # Dual-pool token-budget routing is the choice of the pool, which comes before any policy, and least work in it.
        Policy.DUAL_POOL: ByWork(order.least_work),
        Policy.SHORTEST_QUEUE: ByWork(order.shortest_queue),
        Policy.ROUND_ROBIN: ByWork(order.round_robin),
        Policy.RANDOM: ByWork(order.at_random),
    }
)


def key_of(policy: Policy) -> order.Key:
    """Return the key by which a policy sorts when nothing but load is known; least work for those that want more."""
    rule = POLICIES[policy]
    return rule.key if isinstance(rule, ByWork) else order.least_work
