"""The study's arms: the published ones at their retry cap, ours over stop prices."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from extproc.decide.budget import OutputProvision
from extproc.decide.first_correct import DEFAULT_OBJECTIVE
from extproc.decide.order import Policy as RouterPolicy
from extproc.decide.planner import Verification
from extproc.estimate.answer_limits import AnswerLimitEstimator
from extproc.estimate.forecast import Estimators
from extproc.estimate.latency import LatencyEstimator
from extproc.estimate.output_length import OutputLengthEstimator
from extproc.estimate.quality.estimator import QualityEstimator
from extproc.estimate.quality.model import QualityModel
from extproc.estimate.tokens import PromptTokenEstimator
from extproc.facts.text import profile_text
from extproc.fleet.snapshot import FleetTable
from extproc.router import Router
from extproc.sessions.book import SessionBook
from loadgen.questions.question import Question
from loadgen.reproduce.laar.accuracy import Cell
from loadgen.reproduce.laar.hardware import MODELS, unit_seconds
from loadgen.reproduce.laar.questions import CellQuestions
from loadgen.virtual.arms import POLICY, SOFT_PENALTY
from loadgen.virtual.attempt_plan import AttemptPlan, PlanRule
from loadgen.virtual.baselines import Laar, LoadAware, SessionAffinity
from loadgen.virtual.deciders import Decider, PolicyDecider, RouterDecider
from loadgen.virtual.fleet import VirtualFleet
from loadgen.virtual.knowledge import ExpectedLengths, Knowledge, Level
from loadgen.virtual.policy import Forecast, Policy
from loadgen.virtual.routers import fit_quality

RETRY_CAP = 10
"""Attempts at most, as published."""

LEARNED_PER_CELL = 4
"""Fit questions of each cell whose lengths the router has seen; they hardly differ."""


class Bench:
    """What the arms of one seed share: the questions, and what was learned from those to fit on.

    Args:
        cells: The questions.
    """

    def __init__(self, cells: Mapping[Cell, CellQuestions]) -> None:
        self.cells = cells
        self.fit: tuple[Question, ...] = tuple(question for cell in cells.values() for question in cell.fit)

    @cached_property
    def lengths(self) -> ExpectedLengths:
        """Lengths of answers."""
        return ExpectedLengths(self.fit, MODELS)

    @cached_property
    def published(self) -> Knowledge:
        """LAAR's: a logistic regression per model, on length and language."""
        return Knowledge(self.fit, MODELS, level=Level.LANGUAGE, is_coupled=False)

    @cached_property
    def coupled(self) -> Knowledge:
        """The same features, with one latent difficulty."""
        return Knowledge(self.fit, MODELS, level=Level.LANGUAGE)

    @cached_property
    def quality(self) -> QualityModel:
        """The router's own fit: what its parser sees of a prompt, words included, for they tell the language."""
        return fit_quality(self.fit, MODELS, use_words=True)

    @cached_property
    def learned(self) -> tuple[PromptTokenEstimator, OutputLengthEstimator]:
        """The router's estimates of lengths, as after some traffic; to be copied, for they learn on."""
        prompts, outputs = PromptTokenEstimator(), OutputLengthEstimator()
        for cell in self.cells.values():
            for question in cell.fit[:LEARNED_PER_CELL]:
                text = profile_text([question.text])
                for model, tokens in question.output_tokens.items():
                    outputs.learn(model, text, tokens, was_cut=False)
                    prompts.learn(
                        model=model,
                        text=text,
                        prompt_token_ids=0,
                        messages=1,
                        images=0,
                        prompt_tokens=question.prompt_tokens,
                    )
        return prompts, outputs


DeciderMaker = Callable[[Bench, Cell, VirtualFleet, float], Decider]


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """A policy.

    Attributes:
        title: Name in tables and legends.
        knob: What the knob is.
        values: Values that it takes; the last one is what is shown where only one is.
        decider: Makes a decider for one cell and one value.
    """

    title: str
    knob: str
    values: tuple[float, ...]
    decider: DeciderMaker


CAPS: tuple[float, ...] = (1.0, 2.0, 3.0, 4.0, float(RETRY_CAP))
STOP_PRICES = (2.0, 4.0, 8.0, 16.0, 40.0, 100.0, 250.0, 1000.0, 4000.0, 1e5)
"""Worth of a correct answer, in attempts: multiples of the mean time of an attempt on idle instances at that length."""


def _policy(choose: Callable[[Bench, Cell, Forecast, float], Policy]) -> DeciderMaker:
    def decider(bench: Bench, cell: Cell, fleet: VirtualFleet, value: float) -> Decider:
        forecast = Forecast(FleetTable.of(fleet.topology), bench.lengths)
        return PolicyDecider(fleet.topology, choose(bench, cell, forecast, value), forecast)

    return decider


def _capped(
    title: str, choose: Callable[[Bench, Forecast, int], Policy], values: tuple[float, ...] = CAPS
) -> Arm:
    return Arm(
        title=title,
        knob="attempts at most",
        values=values,
        decider=_policy(lambda bench, _cell, forecast, value: choose(bench, forecast, int(value))),
    )


def _priced(title: str, decider: DeciderMaker) -> Arm:
    return Arm(title=title, knob="worth of an answer, attempts", values=STOP_PRICES, decider=decider)


def _laar(bench: Bench, forecast: Forecast, cap: int, penalty: float) -> Laar:
    return Laar(forecast, bench.published, most_attempts=cap, penalty=penalty)


def _plan(bench: Bench, cell: Cell, forecast: Forecast, value: float) -> AttemptPlan:
    return AttemptPlan(forecast, bench.coupled, PlanRule(worth_seconds=value * unit_seconds(cell.length)))


def _router(*, is_verified: bool) -> DeciderMaker:
    """The production router, its answers judged by the gateway or by the client."""

    def decider(bench: Bench, cell: Cell, fleet: VirtualFleet, value: float) -> Decider:
        worth = value * unit_seconds(cell.length)
        policy = replace(
            POLICY,
            policy=RouterPolicy.FIRST_CORRECT,
            objective=replace(DEFAULT_OBJECTIVE, worth_seconds=worth),
            verification=Verification.ALWAYS if is_verified else Verification.OFF,
        )
        prompts, outputs = deepcopy(bench.learned)
        router = Router(
            fleet.topology,
            policy,
            output_provision=OutputProvision(quantile=0.5),
            prompts=prompts,
            estimators=Estimators(
                quality=QualityEstimator(bench.quality),
                latency=LatencyEstimator(FleetTable.of(fleet.topology)),
                outputs=outputs,
                limits=AnswerLimitEstimator(),
            ),
            sessions=SessionBook(),
            rng=np.random.default_rng(0),
        )
        return RouterDecider(
            router,
            client_judges=not is_verified,
            client_attempts=1 if is_verified else len(MODELS),
            worth_seconds=None if is_verified else worth,
        )

    return decider


ARMS: Mapping[str, Arm] = {
    "laar": _capped(
        "LAAR, infinite penalty", lambda bench, forecast, cap: _laar(bench, forecast, cap, math.inf)
    ),
    "laar_soft": _capped(
        "LAAR, soft penalty",
        lambda bench, forecast, cap: _laar(bench, forecast, cap, SOFT_PENALTY),
        (float(RETRY_CAP),),
    ),
    "load_aware": _capped(
        "load-aware",
        lambda _bench, forecast, cap: LoadAware(forecast, most_attempts=cap, penalty=1.0),
        (float(RETRY_CAP),),
    ),
    "load_aware_others": _capped(
        "load-aware, failed models left out",
        lambda _bench, forecast, cap: LoadAware(forecast, most_attempts=cap),
    ),
    "session_affinity": _capped(
        "session affinity",
        lambda _bench, forecast, cap: SessionAffinity(
            LoadAware(forecast, most_attempts=cap), most_attempts=cap
        ),
        (float(RETRY_CAP),),
    ),
    "plan": _priced("plan (reference)", _policy(_plan)),
    "router_verified": _priced("our router, verified", _router(is_verified=True)),
    "router_judged": _priced("our router, client judges", _router(is_verified=False)),
}
"""By key in tables of figures."""
