"""The study's fleet as a fleet document, sped up so that minutes of traffic fit into seconds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from loadgen.questions.question import Question, QuestionSet
from loadgen.virtual.fleet import AUTO, STUDY_TIERS, Tier

INSTANCES_PER_MODEL = 2
MAX_MODEL_LEN = 8192
MAX_NUM_SEQS = 128
MOST_ATTEMPTS = 5
"""One per model."""

REQUEST_TIMEOUT_SECONDS = 300.0
"""Real seconds; longer than any run waits, so that policies are compared and not timeouts."""

SCRAPE_SECONDS = 0.5
"""Real seconds; scrapes cost CPU that the study's machine does not have to spare."""

_PRIOR_MARGIN = 0.02


def fleet_document(
    questions: QuestionSet, *, time_scale: float, model_directory: Path | None = None
) -> dict[str, Any]:
    """A fleet document with two instances of each model; its ports are placeholders.

    Args:
        questions: Their training part gives each model's `quality_prior`.
        time_scale: Simulated seconds per real second. Speeds are written in real seconds, so that the service and the
            simulated servers see one and the same fleet.
        model_directory: A fitted quality model; None to leave the service with each model's prior.
    """
    clusters = [
        _cluster(model, tier, prior=_accuracy(questions.training, model), time_scale=time_scale)
        for model, tier in zip(questions.models, STUDY_TIERS, strict=True)
    ]
    quality = {} if model_directory is None else {"model_directory": str(model_directory)}
    return {
        "version": 1,
        "gateway": {"listen": "127.0.0.1:0", "admin": "127.0.0.1:0"},
        "service": {"listen": "127.0.0.1:0", "admin": "127.0.0.1:0"},
        "telemetry": {"otlp_endpoint": "self", "sample_ratio": 0.0},
        "pools": [{"name": "all", "spill_at": 1.0}],
        "clusters": clusters,
        "aliases": {AUTO: list(questions.models)},
        "policy": {"name": "first_correct"},
        "objective": {},
        "quality": quality,
        "verification": {"mode": "asked"},
        "budgets": {
            "request_timeout_seconds": REQUEST_TIMEOUT_SECONDS,
            "max_attempts": MOST_ATTEMPTS,
            "retry_budget_percent": 100.0,
            "min_retry_concurrency": 1000,
            "output_quantile": 0.5,
        },
        "scrape": {"interval_seconds": SCRAPE_SECONDS, "timeout_seconds": SCRAPE_SECONDS},
    }


def _cluster(model: str, tier: Tier, *, prior: float, time_scale: float) -> dict[str, Any]:
    return {
        "name": model,
        "model": model,
        "pool": "all",
        "max_model_len": MAX_MODEL_LEN,
        "max_num_seqs": MAX_NUM_SEQS,
        "price_usd_per_mtok": {"input": tier.input_usd_per_mtok, "output": tier.output_usd_per_mtok},
        "quality_prior": prior,
        "speed": {
            "iteration_base_seconds": tier.base_seconds / time_scale,
            "iteration_per_sequence_seconds": tier.per_sequence_seconds / time_scale,
            "prefill_tokens_per_second": float(tier.prefill_tokens_per_second * time_scale),
        },
        "instances": ["127.0.0.1:0"] * INSTANCES_PER_MODEL,
    }


def _accuracy(training: Sequence[Question], model: str) -> float:
    """Share of the questions that a model answers correctly, kept inside the field's open range."""
    share = sum(question.correct[model] for question in training) / max(1, len(training))
    return round(min(1 - _PRIOR_MARGIN, max(_PRIOR_MARGIN, share)), 4)
