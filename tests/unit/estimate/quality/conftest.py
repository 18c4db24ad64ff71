"""A small fitted model: three models of rising skill, with words that help one of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from extproc.estimate.quality.features import NUMBERS, PromptFeatures, describe
from extproc.estimate.quality.model import QualityModel, TextWeights
from extproc.facts.grams import GRAMS, hash_grams
from extproc.facts.text import profile_text


@pytest.fixture
def describe_prompt() -> Callable[[str], PromptFeatures]:
    """Features of a prompt of one message."""

    def make(text: str) -> PromptFeatures:
        return describe(text=profile_text([text]), grams=hash_grams([text]))

    return make


@pytest.fixture
def make_model() -> Callable[..., QualityModel]:
    """`small`, `middle` and `large` are right with log odds -1, 0 and 1; words are added by `text`."""

    def make(**changes: Any) -> QualityModel:
        numbers = len(NUMBERS)
        values: dict[str, Any] = {
            "names": ("small", "middle", "large"),
            "bias": np.array([-1.0, 0.0, 1.0, 0.0]),
            "slopes": np.array([2.0, 2.0, 2.0, 2.0]),
            "offset": np.zeros(4),
            "centre": np.zeros(numbers),
            "least": np.zeros(numbers),
            "most": np.full(numbers, 20.0),
            "number_weights": np.zeros((numbers, 4)),
        }
        return QualityModel(**{**values, **changes})

    return make


@pytest.fixture
def make_text() -> Callable[..., TextWeights]:
    """Words of a sentence push `small` up; every other word is rare."""

    def make(known: str, push: float = 2.0, **changes: Any) -> TextWeights:
        grams = np.frombuffer(hash_grams([known]), dtype="<u2")
        weights = np.zeros((GRAMS, 4), dtype=np.float32)
        weights[grams, 0] = push / np.sqrt(len(grams))
        rarity = np.full(GRAMS, 0.5, dtype=np.float32)
        rarity[grams] = 0.01
        values: dict[str, Any] = {
            "weights": weights,
            "scale": np.ones(GRAMS, dtype=np.float32),
            "rarity": rarity,
            "familiar": 0.05,
            "novel": 0.2,
            "alien": 0.5,
            "novel_trust": 0.5,
        }
        return TextWeights(**{**values, **changes})

    return make
