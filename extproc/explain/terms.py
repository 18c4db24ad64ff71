"""What a policy looked at, as numbers by candidate: worked out by the very functions that the policy ranks by."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from extproc.decide.first_correct import SUSPECT_PRICE_SECONDS, price_seconds
from extproc.decide.order import Policy
from extproc.decide.policies import Case
from extproc.decide.route_balance import score_terms
from extproc.fleet.snapshot import Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """A score by candidate.

    Attributes:
        terms: Its terms by name, each of shape (k,); they sum to the score, when there is more than one.
        score: Shape (k,).
        name: What the score is, with its unit.
        larger_is_better: Which end comes first.
    """

    terms: Mapping[str, Floats]
    score: Floats
    name: str
    larger_is_better: bool


RULES: Mapping[Policy, str] = MappingProxyType(
    {
        Policy.FIRST_CORRECT: "the sequence of attempts worth most: chance x worth - own time - others' delay - money",
        Policy.ROUTE_BALANCE: "the largest weighted sum of chance, price and latency",
        Policy.LAAR: "the least latency over chance; a model that failed is penalised",
        Policy.LOAD_AWARE: "the least predicted latency, whatever the model",
        Policy.SESSION_AFFINITY: "whoever gave the session's last answer, else the least latency",
        Policy.LEAST_WORK: "the least predicted work: own time and the delay caused to others",
        Policy.DUAL_POOL: "the least predicted work in the pool that the token budget chose",
        Policy.SHORTEST_QUEUE: "the fewest sequences running or waiting",
        Policy.ROUND_ROBIN: "whoever was assigned longest ago",
        Policy.RANDOM: "anybody, with equal chances",
    }
)


def scores_of(policy: Policy, case: Case) -> Scores:
    """Work out what a forecasting policy looked at."""
    return _SCORES[policy](case)


def _first_correct(case: Case) -> Scores:
    latency, objective = case.predictions.latency, case.objective
    worth = objective.worth_seconds * case.predictions.chance
    price = price_seconds(case.predictions, case.snapshot, objective)
    terms = {
        "chance x worth": worth,
        "own time": -latency.total_seconds,
        "others": -objective.congestion_weight * latency.caused_seconds,
        "money": -objective.seconds_per_usd * case.predictions.usd,
    }
    is_suspect = case.snapshot.suspect[case.predictions.rows]
    if is_suspect.any():
        terms["suspect"] = -SUSPECT_PRICE_SECONDS * is_suspect.astype(np.float64)
    return Scores(
        terms=terms, score=worth - price, name="worth of one attempt, seconds", larger_is_better=True
    )


def _route_balance(case: Case) -> Scores:
    terms = score_terms(case.predictions, case.weights, case.quality_norm)
    return Scores(
        terms={"quality": terms.quality, "price": terms.cost, "latency": terms.latency},
        score=terms.score,
        name=f"score, quality {case.quality_norm.value}",
        larger_is_better=True,
    )


def _laar(case: Case) -> Scores:
    has_failed = np.isin(np.array(case.predictions.names)[case.predictions.model], case.predictions.failed)
    per_chance = case.predictions.latency.total_seconds / np.maximum(case.predictions.chance, 1e-6)
    cost: Floats = np.where(has_failed, per_chance * case.laar_penalty, per_chance)
    return Scores(terms={}, score=cost, name="latency / chance, seconds", larger_is_better=False)


def _latency(case: Case) -> Scores:
    total = case.predictions.latency.total_seconds
    return Scores(terms={}, score=total, name="latency, seconds", larger_is_better=False)


_SCORES: Mapping[Policy, Callable[[Case], Scores]] = MappingProxyType(
    {
        Policy.FIRST_CORRECT: _first_correct,
        Policy.ROUTE_BALANCE: _route_balance,
        Policy.LAAR: _laar,
        Policy.LOAD_AWARE: _latency,
        Policy.SESSION_AFFINITY: _latency,
    }
)
