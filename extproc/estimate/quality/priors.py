"""What is believed of models and questions before anything was fitted or learned."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from extproc.estimate.quality.features import NUMBERS
from extproc.estimate.quality.model import QualityModel

ACCURACY: Final = 0.6
"""Chance of a model of which nothing is declared."""

SLOPE: Final = 2.2
"""Discrimination of an unknown model: about the geometric mean over the fleets of `docs/estimators.md`, whose slopes lie
between 1 and 4. It does not rise or fall with the size of the model."""

_LOG_ODDS_AT_8B: Final = 0.33
_LOG_ODDS_PER_DOUBLING: Final = 0.26
_LEAST_BILLIONS, _MOST_BILLIONS = 0.5, 1_000.0


def accuracy_of_size(parameters_billions: float) -> float:
    """Chance of an instruction-tuned model of this size over mixed questions, for want of anything better.

    Least squares over the 54 sizes and accuracies that MMLU-Pro and ZeroEval publish, with a term for each set; a
    model's log odds lie 0.5 (standard deviation) off it, as much as two doublings of the size. Sizes beyond 0.5 and
    1,000 are taken as these.

    Raises:
        ValueError: The size is not above 0.
    """
    if not parameters_billions > 0.0:
        raise ValueError(f"parameters_billions: expected a number above 0, got {parameters_billions}")
    size = min(_MOST_BILLIONS, max(_LEAST_BILLIONS, parameters_billions))
    return 1.0 / (1.0 + math.exp(-_LOG_ODDS_AT_8B - _LOG_ODDS_PER_DOUBLING * math.log2(size / 8.0)))


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
