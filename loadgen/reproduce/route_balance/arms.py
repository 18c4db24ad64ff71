"""What is compared, as plain data that crosses processes, and what makes a decider of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

import numpy as np

from extproc.decide.first_correct import Objective
from extproc.decide.order import Policy as RouterPolicy
from extproc.decide.planner import PlanPolicy, Verification
from extproc.decide.route_balance import QualityNorm
from extproc.decide.weights import Weights as RouterWeights
from extproc.estimate.quality.model import QualityModel
from extproc.fleet.snapshot import FleetTable
from loadgen.questions.question import QuestionSet
from loadgen.reproduce.route_balance.balance import Balance, BalanceDecider, Weights
from loadgen.reproduce.route_balance.rivals import (
    Chooser,
    Dispatch,
    ModelThenInstance,
    always,
    avengers,
    best_route,
    best_route_match,
)
from loadgen.reproduce.route_balance.sight import Sight
from loadgen.reproduce.route_balance.token_time import Forest
from loadgen.virtual.arms import POLICY
from loadgen.virtual.deciders import Decider, PolicyDecider, RouterDecider
from loadgen.virtual.fleet import VirtualFleet
from loadgen.virtual.knowledge import ExpectedLengths
from loadgen.virtual.policy import Forecast
from loadgen.virtual.routers import build_router


class Choice(StrEnum):
    """How a rival chooses the model."""

    BEST_ROUTE = "best_route"
    BEST_ROUTE_MATCH = "best_route_match"
    AVENGERS = "avengers"
    ALWAYS = "always"
    ANY = "any"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rival:
    """Model first, instance second.

    Attributes:
        choice: How the model is chosen.
        dispatch: How its instance is chosen.
        value: Confidence for `BEST_ROUTE`, chance for `BEST_ROUTE_MATCH`, weight of quality for `AVENGERS`, index of the model for `ALWAYS`.
    """

    choice: Choice
    dispatch: Dispatch
    value: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """The production router, policy `first_correct`.

    Attributes:
        worth_seconds: What a correct answer is worth.
        seconds_per_usd: What a dollar is worth.
        is_verified: True when answers are verified and wrong ones retried; False for one attempt that nobody judges.
    """

    worth_seconds: float
    seconds_per_usd: float
    is_verified: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """The production router, policy `route_balance`: the same score of this service's own estimates, each request at once.

    Attributes:
        weights: Of the score.
        norm: How quality enters it.
    """

    weights: Weights
    norm: QualityNorm


Arm = Balance | Rival | Planned | Scored


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What all arms share.

    Attributes:
        questions: The set.
        sight: What the published routers know of the held-out questions.
        forest: Times per output token.
        quality: The production router's quality model.
    """

    questions: QuestionSet
    sight: Sight
    forest: Forest
    quality: QualityModel


MILLION: Final = 1e6

LENGTHS_SEEN: Final = 400
"""Training questions at most whose lengths the production router has seen: it forgets old ones anyway."""


def make_decider(bench: Bench, fleet: VirtualFleet, arm: Arm, rng: np.random.Generator) -> Decider:
    """A decider for one run."""
    if isinstance(arm, Balance):
        return BalanceDecider(fleet, arm, bench.sight, bench.forest)
    questions = bench.questions
    if isinstance(arm, Planned | Scored):
        policy = _planned(arm) if isinstance(arm, Planned) else _scored(arm)
        router = build_router(
            fleet, policy, quality=bench.quality, training=questions.training[:LENGTHS_SEEN], rng=rng
        )
        return RouterDecider(router, client_judges=False, client_attempts=1)
    forecast = Forecast(FleetTable.of(fleet.topology), ExpectedLengths(questions.training, questions.models))
    chosen = ModelThenInstance(_chooser(bench.sight, arm), arm.dispatch, rng)
    return PolicyDecider(fleet.topology, chosen, forecast)


def _chooser(sight: Sight, arm: Rival) -> Chooser:
    if arm.choice is Choice.BEST_ROUTE:
        return best_route(sight, arm.value)
    if arm.choice is Choice.BEST_ROUTE_MATCH:
        return best_route_match(sight, arm.value)
    if arm.choice is Choice.AVENGERS:
        return avengers(sight, arm.value)
    return always(int(arm.value) if arm.choice is Choice.ALWAYS else None)


def _planned(arm: Planned) -> PlanPolicy:
    return replace(
        POLICY,
        objective=Objective(
            worth_seconds=arm.worth_seconds, congestion_weight=1.0, seconds_per_usd=arm.seconds_per_usd
        ),
        verification=Verification.ALWAYS if arm.is_verified else Verification.OFF,
    )


def _scored(arm: Scored) -> PlanPolicy:
    weights = RouterWeights.of(
        quality=arm.weights.quality, latency=arm.weights.latency, cost=arm.weights.cost
    )
    return replace(POLICY, policy=RouterPolicy.ROUTE_BALANCE, weights=weights, quality_norm=arm.norm)
