"""What is believed of models and questions before anything was fitted or learned."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from extproc.estimate.quality.features import NUMBERS
from extproc.estimate.quality.model import QualityModel

ACCURACY: Final = 0.6
"""Chance of a model of which nothing is declared."""

SLOPE: Final = 2.0
"""Discrimination of an unknown model."""


def log_odds(chance: float) -> float:
    """Log odds of a chance in (0, 1).

    Raises:
        ValueError: It is not in (0, 1).
    """
    if not 0.0 < chance < 1.0:
        raise ValueError(f"chance: expected a number between 0 and 1, got {chance}")
    return math.log(chance / (1.0 - chance))


def prior_model() -> QualityModel:
    """The model that knows no model: equal chances for all prompts, coupled as models commonly are."""
    numbers = len(NUMBERS)
    return QualityModel(
        names=(),
        bias=np.array([log_odds(ACCURACY)]),
        slopes=np.array([SLOPE]),
        offset=np.zeros(1),
        centre=np.zeros(numbers),
        least=np.zeros(numbers),
        most=np.zeros(numbers),
        number_weights=np.zeros((numbers, 1)),
    )
