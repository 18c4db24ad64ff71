"""Settings of all tests: property tests draw the same examples every time, and a slow machine fails none of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from extproc.estimate.quality.features import NUMBERS
from extproc.estimate.quality.model import QualityModel, TextWeights
from extproc.facts.grams import GRAMS, hash_grams

settings.register_profile(
    "repeatable", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("repeatable")


@pytest.fixture(scope="session")
def make_quality_model() -> Callable[..., QualityModel]:
    """A small quality model by hand: log odds by model, and words that each add 3 to the first model's or take 3 away."""

    def make(
        names: Sequence[str] = ("model-a", "model-b"),
        log_odds: Sequence[float] = (1.0, -1.0),
        *,
        good_words: str = "",
        bad_words: str = "",
    ) -> QualityModel:
        rows, numbers = len(names) + 1, len(NUMBERS)
        text = None
        if good_words or bad_words:
            scale, weights = np.ones(GRAMS, np.float32), np.zeros((GRAMS, rows), np.float32)
            for words, effect in ((good_words, 3.0), (bad_words, -3.0)):
                grams = np.frombuffer(hash_grams([words]), dtype="<u2")
                weights[grams, 0] = effect / max(1.0, len(grams)) ** 0.5
            text = TextWeights(
                weights=weights,
                scale=scale,
                rarity=np.full(GRAMS, 0.01, np.float32),
                familiar=0.1,
                novel=0.2,
                alien=0.3,
                novel_trust=0.5,
            )
        return QualityModel(
            names=tuple(names),
            bias=np.array([*log_odds, float(np.mean(log_odds))]),
            slopes=np.ones(rows),
            offset=np.zeros(rows),
            centre=np.zeros(numbers),
            least=np.zeros(numbers),
            most=np.ones(numbers),
            number_weights=np.zeros((numbers, rows)),
            text=text,
        )

    return make
