"""The production router, ready for a run: its estimators have learned from the training questions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from extproc.decide.budget import OutputProvision
from extproc.decide.planner import PlanPolicy
from extproc.estimate.answer_limits import AnswerLimitEstimator
from extproc.estimate.forecast import Estimators
from extproc.estimate.latency import LatencyEstimator
from extproc.estimate.output_length import OutputLengthEstimator
from extproc.estimate.quality.estimator import QualityEstimator
from extproc.estimate.quality.model import QualityModel
from extproc.estimate.tokens import PromptTokenEstimator
from extproc.facts.text import profile_text
from extproc.fit.fitting import FitSettings, fit_model
from extproc.fit.table import OutcomeTable, describe_prompt
from extproc.fleet.snapshot import FleetTable
from extproc.router import Router
from extproc.sessions.book import SessionBook
from loadgen.questions.question import Question
from loadgen.virtual.fleet import VirtualFleet

MOST_ATTEMPTS = 5
"""Attempts that a plan may have; one per model."""

REQUEST_TIMEOUT_SECONDS = 3600.0
"""Longer than any run waits, so that policies are compared and not timeouts."""


def fit_quality(
    training: Sequence[Question], models: Sequence[str], *, use_words: bool = False
) -> QualityModel:
    """Fit the router's quality model to questions whose answers are known.

    Args:
        training: The questions.
        models: The fleet's models.
        use_words: True to learn from their words too, and not from their length and characters alone.
    """
    outcomes = [[float(question.correct[model]) for model in models] for question in training]
    table = OutcomeTable(
        name="training",
        models=tuple(models),
        prompts=tuple(describe_prompt(question.text) for question in training),
        groups=tuple(question.kind for question in training),
        keys=tuple(question.key for question in training),
        outcomes=np.array(outcomes),
    )
    return fit_model(table, FitSettings(use_words=use_words)).model


def build_router(
    fleet: VirtualFleet,
    policy: PlanPolicy,
    *,
    quality: QualityModel,
    training: Sequence[Question],
    rng: np.random.Generator,
    declared: Mapping[str, float] | None = None,
) -> Router:
    """A router that knows the fleet's models as after some traffic.

    Args:
        fleet: What is routed to.
        policy: What its operator decided.
        quality: See `fit_quality`.
        training: Questions whose lengths it has seen.
        rng: Source of randomness for policies that want it.
        declared: Chance of each model that `quality` does not know.
    """
    prompts, outputs, limits = PromptTokenEstimator(), OutputLengthEstimator(), AnswerLimitEstimator()
    for question in training:
        text = profile_text([question.text])
        for model, tokens in question.output_tokens.items():
            outputs.learn(model, text, tokens, was_cut=False)
            limits.learn(model, tokens, is_correct=question.correct[model], was_cut=False)
            prompts.learn(
                model=model,
                text=text,
                prompt_token_ids=0,
                messages=1,
                images=0,
                prompt_tokens=question.prompt_tokens,
            )
    return Router(
        fleet.topology,
        policy,
        output_provision=OutputProvision(quantile=0.5),
        prompts=prompts,
        estimators=Estimators(
            quality=QualityEstimator(quality, declared=declared),
            latency=LatencyEstimator(FleetTable.of(fleet.topology)),
            outputs=outputs,
            limits=limits,
        ),
        sessions=SessionBook(),
        rng=rng,
    )
