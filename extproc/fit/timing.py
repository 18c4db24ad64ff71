"""What the runtime part costs per request, measured."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import numpy as np

from extproc.estimate.quality.estimator import QualityEstimator
from extproc.estimate.quality.features import describe
from extproc.estimate.quality.model import QualityModel
from extproc.facts.grams import hash_grams
from extproc.facts.text import profile_text

_CALLS: Final = 2_000
_MODELS: Final = 8


def measure(model: QualityModel, text: str) -> dict[str, dict[str, float]]:
    """Microseconds, median and 99th percentile, on one thread of this machine.

    Args:
        model: A fitted model; its models are repeated until there are eight.
        text: Prompts are cut from it, and it is repeated to 8 MB.
    """
    models = [model.names[index % len(model.names)] for index in range(_MODELS)]
    short = (text * (2_048 // max(len(text), 1) + 1))[:2_048]
    long = text * (8_000_000 // max(len(text), 1) + 1)
    profile = profile_text([short])
    features = describe(text=profile, grams=hash_grams([short]))
    estimator = QualityEstimator(model)
    return {
        "words of a 2 kB prompt": _percentiles(lambda: hash_grams([short])),
        "words of an 8 MB prompt": _percentiles(lambda: hash_grams([long])),
        "features, parsing done": _percentiles(lambda: describe(text=profile, grams=features.grams)),
        "node table, 8 models": _percentiles(lambda: estimator.node_table(features, models)),
        "chances, 8 models": _percentiles(lambda: estimator.chances(features, models)),
        "chances, 8 models, after 2 failures": _percentiles(
            lambda: estimator.chances(features, models, models[:2])
        ),
        "learning from one answer": _percentiles(lambda: estimator.learn(models[0], features, correct=True)),
    }


def _percentiles(call: Callable[[], object]) -> dict[str, float]:
    seconds = np.empty(_CALLS)
    for index in range(_CALLS):
        started = time.perf_counter()
        call()
        seconds[index] = time.perf_counter() - started
    median, high = np.quantile(seconds * 1e6, (0.5, 0.99))
    return {"p50": round(float(median), 1), "p99": round(float(high), 1)}
