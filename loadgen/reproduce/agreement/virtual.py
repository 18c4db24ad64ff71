"""The virtual half: the same questions at the same times, a router that knows what the service knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from extproc.decide.first_correct import DEFAULT_OBJECTIVE
from extproc.decide.order import Policy
from extproc.decide.planner import Verification
from extproc.estimate.quality.priors import prior_model
from loadgen.questions.question import Question, QuestionSet
from loadgen.ttca.arms import ARMS, Arm
from loadgen.ttca.bodies import request_body
from loadgen.ttca.client import Asking
from loadgen.ttca.fleet import INSTANCES_PER_MODEL, fleet_document
from loadgen.ttca.study import Study, draw_askings
from loadgen.virtual.arms import POLICY
from loadgen.virtual.deciders import Decider, RouterDecider
from loadgen.virtual.fleet import AUTO, STUDY_TIERS, VirtualFleet, build_fleet
from loadgen.virtual.routers import build_router
from loadgen.virtual.simulation import Run, Simulation
from loadgen.vllm.asked import Api, parse


@dataclass(frozen=True, slots=True, kw_only=True)
class VirtualTask:
    """One arm of the virtual half; `value` is that of its knob."""

    study: Study
    questions: QuestionSet
    load: str
    arm: str
    value: float


def simulate(task: VirtualTask) -> Run:
    """Run an arm in virtual time, at simulated seconds."""
    study = task.study
    fleet = build_fleet(
        task.questions.models, STUDY_TIERS, instances=[INSTANCES_PER_MODEL] * len(task.questions.models)
    )
    askings = study.askings(task.questions.held_out, task.load)
    asked = [as_counted(asking.question) for asking in askings]
    arrivals = np.array([asking.intended_seconds * study.time_scale for asking in askings])
    decider = _decider(fleet, ARMS[task.arm], task.value, study, task.questions)
    return Simulation(fleet, decider).run(asked, arrivals)


def warm_up_askings(study: Study, questions: QuestionSet) -> list[Asking]:
    """What the service is asked before the first point."""
    rate = min(study.rates.values()) * study.time_scale
    return draw_askings(questions.training, study.warm_up, rate, study.seed + 1)


def as_counted(question: Question) -> Question:
    """The question with as many prompt tokens as a simulated server counts."""
    asked = parse(Api.CHAT, request_body(question, model=AUTO, repeats_itself=True))
    return replace(question, prompt_tokens=asked.prompts[0])


def _decider(fleet: VirtualFleet, arm: Arm, value: float, study: Study, questions: QuestionSet) -> Decider:
    policy = replace(
        POLICY,
        policy=Policy(arm.policy),
        objective=replace(DEFAULT_OBJECTIVE, worth_seconds=arm.worth_seconds(value)),
        verification=Verification.ALWAYS if arm.is_verified else Verification.OFF,
    )
    router = build_router(
        fleet,
        policy,
        quality=prior_model(),
        declared=_declared(questions, study.time_scale),
        training=_learned(warm_up_askings(study, questions), questions.models),
        rng=np.random.default_rng(study.seed),
    )
    return RouterDecider(
        router, client_judges=not arm.is_verified, client_attempts=arm.client_attempts(value)
    )


def _declared(questions: QuestionSet, time_scale: float) -> Mapping[str, float]:
    clusters = fleet_document(questions, time_scale=time_scale)["clusters"]
    return {cluster["model"]: cluster["quality_prior"] for cluster in clusters}


def _learned(askings: Sequence[Asking], models: Sequence[str]) -> list[Question]:
    """What the warm-up taught: each question's answer by the one model that was asked."""
    found = []
    for asking in askings:
        model = models[asking.number % len(models)]
        question = as_counted(asking.question)
        found.append(replace(question, output_tokens={model: question.output_tokens[model]}))
    return found
