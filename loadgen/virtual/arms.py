"""What is compared: each arm is a policy with one knob that trades time for success."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from extproc.decide.first_correct import DEFAULT_OBJECTIVE
from extproc.decide.order import Policy as RouterPolicy
from extproc.decide.planner import PlanPolicy, Verification
from extproc.fleet.snapshot import FleetTable
from extproc.router import Router
from loadgen.questions.question import QuestionSet
from loadgen.virtual.attempt_plan import AttemptPlan, PlanRule
from loadgen.virtual.baselines import Laar, LoadAware, RoundRobin, SessionAffinity
from loadgen.virtual.deciders import Decider, PolicyDecider, RouterDecider
from loadgen.virtual.fleet import VirtualFleet
from loadgen.virtual.knowledge import ExpectedLengths, Knowledge, Level
from loadgen.virtual.policy import Forecast, Policy
from loadgen.virtual.routers import MOST_ATTEMPTS, REQUEST_TIMEOUT_SECONDS, build_router, fit_quality

ATTEMPT_CAPS = (1.0, 2.0, 3.0, 4.0, 5.0)
"""Retry caps of the baselines."""

WORTH_SECONDS = (5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0)
"""Stop prices of the plan."""

SOFT_PENALTY = 2.0
"""Factor on L/Q per failure in LAAR's soft reading."""


class Workbench:
    """What the arms share: the questions and what was learned from their training part.

    Args:
        questions: The set.
    """

    def __init__(self, questions: QuestionSet) -> None:
        self.questions = questions
        self.lengths = ExpectedLengths(questions.training, questions.models)
        training, models = questions.training, questions.models
        self.coupled = Knowledge(training, models, level=Level.TEXT)
        self.by_length = Knowledge(training, models, level=Level.LENGTH, is_coupled=False)
        self.quality = fit_quality(training, models)


DeciderMaker = Callable[[Workbench, VirtualFleet, float, np.random.Generator], Decider]


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """A policy with a knob.

    Attributes:
        title: Name for tables.
        knob: What the knob is.
        values: Values that it takes.
        decider: Makes a decider for one value; the generator is for those that draw.
    """

    title: str
    knob: str
    values: tuple[float, ...]
    decider: DeciderMaker


def _policy(
    choose: Callable[[Workbench, Forecast, float], Policy],
) -> DeciderMaker:
    def decider(bench: Workbench, fleet: VirtualFleet, value: float, _rng: np.random.Generator) -> Decider:
        forecast = Forecast(FleetTable.of(fleet.topology), bench.lengths)
        return PolicyDecider(fleet.topology, choose(bench, forecast, value), forecast)

    return decider


def _capped(title: str, choose: Callable[[Workbench, Forecast, int], Policy]) -> Arm:
    return Arm(
        title=title,
        knob="attempts at most",
        values=ATTEMPT_CAPS,
        decider=_policy(lambda bench, forecast, value: choose(bench, forecast, int(value))),
    )


def _laar(bench: Workbench, forecast: Forecast, cap: int, penalty: float = math.inf) -> Laar:
    return Laar(forecast, bench.by_length, most_attempts=cap, penalty=penalty)


POLICY = PlanPolicy(
    policy=RouterPolicy.FIRST_CORRECT,
    max_attempts=MOST_ATTEMPTS,
    request_timeout_seconds=REQUEST_TIMEOUT_SECONDS,
    per_try_timeout_seconds=None,
    union_cluster="fleet",
    laar_penalty=math.inf,
)
"""What all router arms have in common."""


def _build(bench: Workbench, fleet: VirtualFleet, policy: PlanPolicy, rng: np.random.Generator) -> Router:
    return build_router(fleet, policy, quality=bench.quality, training=bench.questions.training, rng=rng)


def _asked_again(title: str, policy: RouterPolicy) -> Arm:
    return Arm(
        title=title,
        knob="attempts at most",
        values=ATTEMPT_CAPS,
        decider=_router(policy, client_judges=True),
    )


def _worth(title: str, *, is_verified: bool) -> Arm:
    return Arm(
        title=title,
        knob="seconds that a correct answer is worth",
        values=WORTH_SECONDS,
        decider=first_correct(is_verified=is_verified),
    )


def _router(policy: RouterPolicy, *, client_judges: bool) -> DeciderMaker:
    """The router, asked by clients up to a number of times."""

    def decider(bench: Workbench, fleet: VirtualFleet, value: float, rng: np.random.Generator) -> Decider:
        router = _build(bench, fleet, replace(POLICY, policy=policy), rng)
        return RouterDecider(router, client_judges=client_judges, client_attempts=int(value))

    return decider


def first_correct(*, is_verified: bool, seconds_per_usd: float = 0.0) -> DeciderMaker:
    """The router's own rule, its answers judged by the gateway or by the client; the knob is a correct answer's worth."""

    def decider(bench: Workbench, fleet: VirtualFleet, value: float, rng: np.random.Generator) -> Decider:
        policy = replace(
            POLICY,
            policy=RouterPolicy.FIRST_CORRECT,
            objective=replace(DEFAULT_OBJECTIVE, worth_seconds=value, seconds_per_usd=seconds_per_usd),
            verification=Verification.ALWAYS if is_verified else Verification.OFF,
        )
        return RouterDecider(
            _build(bench, fleet, policy, rng),
            client_judges=not is_verified,
            client_attempts=1 if is_verified else MOST_ATTEMPTS,
            worth_seconds=None if is_verified else value,
        )

    return decider


ARMS: Mapping[str, Arm] = {
    "plan": Arm(
        title="plan (reference)",
        knob="seconds that a correct answer is worth",
        values=WORTH_SECONDS,
        decider=_policy(
            lambda bench, forecast, value: AttemptPlan(forecast, bench.coupled, PlanRule(worth_seconds=value))
        ),
    ),
    "laar": _capped("LAAR, infinite penalty", _laar),
    "laar_soft": _capped(
        "LAAR, soft penalty", lambda bench, forecast, cap: _laar(bench, forecast, cap, SOFT_PENALTY)
    ),
    "load_aware": _capped("load-aware", lambda _bench, forecast, cap: LoadAware(forecast, most_attempts=cap)),
    "session_affinity": _capped(
        "session affinity",
        lambda bench, forecast, cap: SessionAffinity(_laar(bench, forecast, cap), most_attempts=cap),
    ),
    "round_robin": _capped("round robin", lambda _bench, _forecast, cap: RoundRobin(most_attempts=cap)),
    "router_verified": _worth("router, first_correct, verified", is_verified=True),
    "router_judged": _worth("router, first_correct, client judges", is_verified=False),
    "router_laar": _asked_again("router, laar", RouterPolicy.LAAR),
    "router_load_aware": _asked_again("router, load_aware", RouterPolicy.LOAD_AWARE),
    "router_session_affinity": _asked_again("router, session_affinity", RouterPolicy.SESSION_AFFINITY),
    "router_round_robin": _asked_again("router, round_robin", RouterPolicy.ROUND_ROBIN),
}
"""By name on the command line."""
