"""Logistic regressions that share what they can: each model's weights are drawn to those of the mean model."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_ITERATIONS: Final = 12
_SETTLED: Final = 1e-4
_LEAST_CURVATURE: Final = 0.02


class Penalty(NamedTuple):
    """Ridge penalties: of the population's weights towards zero, and of each model's towards the population's."""

    population: float
    own: float


class Regressions(NamedTuple):
    """Weights, shape (columns, models + 1), and intercepts, shape (models + 1,); the population is last."""

    weights: Floats
    intercepts: Floats

    def log_odds(self, matrix: Floats) -> Floats:
        """Log odds of each model and the population for each row."""
        return matrix @ self.weights + self.intercepts


def fit_regressions(matrix: Floats, outcomes: Floats, penalty: Penalty) -> Regressions:
    """Fit every model's chance, and the population's, to outcomes with gaps (NaN).

    The population answers each prompt as the models did on average: with few prompts and many models, its direction of
    difficulty is far better known than any single model's, and stands in where a model's own data say little. Its
    intercept is the mean of the models' intercepts.
    """
    asked = ~np.isnan(outcomes)
    any_asked = asked.any(axis=1)
    # What a model is better or worse than the others must not pass for the difficulty of the prompts it was asked.
    rates = np.array(
        [
            outcomes[asked[:, model], model].mean() if asked[:, model].any() else 0.5
            for model in range(outcomes.shape[1])
        ]
    )
    above = np.where(asked, outcomes - rates, 0.0).sum(axis=1) / np.maximum(asked.sum(axis=1), 1)
    mean = np.clip(rates.mean() + above, 0.0, 1.0)
    width = matrix.shape[1]
    common, _ = fit_one(matrix[any_asked], mean[any_asked], np.zeros(width), penalty.population)
    fitted = [
        fit_one(matrix[asked[:, model]], outcomes[asked[:, model], model], common, penalty.own)
        for model in range(outcomes.shape[1])
    ]
    weights = np.column_stack([*(own for own, _ in fitted), np.mean([own for own, _ in fitted], axis=0)])
    intercepts = [intercept for _, intercept in fitted]
    return Regressions(weights, np.array([*intercepts, float(np.mean(intercepts))]))


def fit_one(matrix: Floats, outcomes: Floats, towards: Floats, penalty: float) -> tuple[Floats, float]:
    """Minimise the log loss plus penalty / 2 * |weights - towards|², by Newton's method; the intercept is free.

    Outcomes may be fractions. Without any, the weights are `towards` and the intercept is 0.
    """
    if not len(outcomes):
        return towards, 0.0
    rows, width = matrix.shape
    design = np.hstack([matrix, np.ones((rows, 1))])
    rate = (outcomes.sum() + 0.5) / (rows + 1.0)
    start = np.append(towards, np.log(rate / (1.0 - rate)))
    # A touch on the intercept keeps a model that was always right finite.
    strength = np.append(np.full(width, penalty), 0.1)
    found = start.copy()
    for _ in range(_ITERATIONS):
        chance = 1.0 / (1.0 + np.exp(-np.clip(design @ found, -30.0, 30.0)))
        gradient = design.T @ (chance - outcomes) + strength * (found - start)
        curvature = np.maximum(chance * (1.0 - chance), _LEAST_CURVATURE)
        step = np.linalg.solve((design * curvature[:, None]).T @ design + np.diag(strength), gradient)
        found -= step
        if np.abs(step).max() < _SETTLED:
            break
    return found[:-1], float(found[-1])
