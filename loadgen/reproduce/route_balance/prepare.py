"""Learns everything that arms need from the training part of a set."""

from __future__ import annotations

import numpy as np

from loadgen.questions.question import QuestionSet
from loadgen.reproduce.route_balance.arms import MILLION, Bench
from loadgen.reproduce.route_balance.cells import profile
from loadgen.reproduce.route_balance.cluster import TIERS
from loadgen.reproduce.route_balance.sight import look
from loadgen.virtual.routers import fit_quality


def prepare(questions: QuestionSet, *, profiled: int, seed: int) -> Bench:
    """Learn from the training part.

    Args:
        questions: Questions that four models answered.
        profiled: Requests of each profiled run.
        seed: Of everything random.
    """
    training, models = questions.training, questions.models
    quality = fit_quality(training, models, use_words=True)
    usd = np.array(
        [
            [
                question.prompt_tokens * tier.input_usd_per_mtok
                + question.output_tokens[model] * tier.output_usd_per_mtok
                for model, tier in zip(models, TIERS, strict=True)
            ]
            for question in training
        ]
    )
    sight = look(training, questions.held_out, models=models, usd=usd / MILLION, quality=quality, seed=seed)
    return Bench(
        questions=questions,
        sight=sight,
        forest=profile(questions, requests=profiled, seed=seed),
        quality=quality,
    )
