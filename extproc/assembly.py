"""The core, assembled from settings: the router and everything that it learns with. The service and `ttca explain` share it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from extproc.estimate.answer_limits import AnswerLimitEstimator
from extproc.estimate.forecast import Estimators
from extproc.estimate.latency import LatencyEstimator
from extproc.estimate.output_length import OutputLengthEstimator
from extproc.estimate.quality.estimator import QualityEstimator
from extproc.estimate.tokens import PromptTokenEstimator
from extproc.fleet.snapshot import FleetTable
from extproc.router import Router
from extproc.server.from_settings import declared_quality, output_provision, plan_policy
from extproc.sessions.book import SessionBook
from extproc.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Core:
    """What decides, and what it knows.

    Attributes:
        router: Decides.
        prompts: Prompt-token estimator.
        estimators: What else is estimated.
        learned: By name of a part of the state file, what gives its state and what restores it.
    """

    router: Router
    prompts: PromptTokenEstimator
    estimators: Estimators
    learned: Mapping[str, tuple[Callable[[], Any], Callable[[Any], None]]]


def assemble(settings: Settings, rng: np.random.Generator) -> Core:
    """Build a core that has learned nothing yet; `rng` is for policies that want randomness."""
    fleet = settings.fleet()
    prompts = PromptTokenEstimator()
    estimators = Estimators(
        quality=QualityEstimator(declared=declared_quality(fleet)),
        latency=LatencyEstimator(FleetTable.of(fleet)),
        outputs=OutputLengthEstimator(),
        limits=AnswerLimitEstimator(),
    )
    router = Router(
        fleet,
        plan_policy(settings),
        output_provision=output_provision(settings),
        prompts=prompts,
        estimators=estimators,
        sessions=SessionBook(),
        rng=rng,
    )
    return Core(
        router=router,
        prompts=prompts,
        estimators=estimators,
        learned={
            "prompt_tokens": (prompts.state, prompts.restore),
            "output_lengths": (estimators.outputs.state, estimators.outputs.restore),
            "answer_limits": (estimators.limits.state, estimators.limits.restore),
            "latency": (estimators.latency.state, estimators.latency.restore),
            "quality": (estimators.quality.state, estimators.quality.restore),
        },
    )
