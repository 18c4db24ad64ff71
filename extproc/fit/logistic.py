"""Logistic regressions that share what they can: each model's weights are drawn to those of the mean model."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_ITERATIONS: Final = 12
_STEPS: Final = 400
_SETTLED: Final = 1e-4
_TOUCH: Final = 0.1
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
    """As `Regressor.fit`, for one penalty."""
    return Regressor(matrix).fit(outcomes, penalty)


class Regressor:
    """Fits every model's chance, and the population's, to outcomes with gaps (NaN), for any number of penalties.

    The log loss curves at most a quarter as much as the squares of the columns do (Böhning and Lindsay 1988). In the directions
    in which these squares are a diagonal matrix, each step is then a division by known numbers, for all models and any
    penalty at once; momentum with restarts (O'Donoghue and Candès 2015) makes up for the caution of the bound. Newton's
    method would have to solve a system per step and model instead.

    The population answers each prompt as the models did on average: with few prompts and many models, its direction of
    difficulty is far better known than any single model's, and stands in where a model's own data say little. Its
    intercept is the mean of the models' intercepts.

    Args:
        matrix: Features, shape (rows, columns).
    """

    def __init__(self, matrix: Floats) -> None:
        self._centre = matrix.mean(axis=0)
        centred = matrix - self._centre
        squares, self._directions = np.linalg.eigh(centred.T @ centred)
        self._squares = np.maximum(squares, 0.0)
        self._turned = centred @ self._directions

    def fit(self, outcomes: Floats, penalty: Penalty) -> Regressions:
        """Fit to outcomes of shape (rows, models); a model that was asked nothing is as the population."""
        asked = ~np.isnan(outcomes)
        # What a model is better or worse than the others must not pass for the difficulty of the prompts it was asked.
        counts = asked.sum(axis=0)
        rates = np.where(counts > 0, np.nansum(outcomes, axis=0) / np.maximum(counts, 1), 0.5)
        above = np.where(asked, outcomes - rates, 0.0).sum(axis=1) / np.maximum(asked.sum(axis=1), 1)
        mean = np.where(asked.any(axis=1), np.clip(rates.mean() + above, 0.0, 1.0), np.nan)
        width = len(self._squares)
        common, _ = self._solve(mean[:, None], np.zeros((width, 1)), penalty.population)
        weights, intercepts = self._solve(outcomes, np.repeat(common, len(rates), axis=1), penalty.own)
        weights = self._directions @ weights
        intercepts -= self._centre @ weights
        return Regressions(
            np.column_stack([weights, weights.mean(axis=1)]), np.append(intercepts, intercepts.mean())
        )

    def _solve(self, outcomes: Floats, towards: Floats, penalty: float) -> tuple[Floats, Floats]:
        """Weights in turned directions, shape (columns, models), and intercepts, shape (models,)."""
        asked = ~np.isnan(outcomes)
        right = np.where(asked, outcomes, 0.0)
        counts = asked.sum(axis=0)
        rates = (right.sum(axis=0) + 0.5) / (counts + 1.0)
        start = np.log(rates / (1.0 - rates))
        bound = 0.25 * self._squares[:, None] + penalty
        # A touch on the intercept keeps a model that was always right finite.
        bound_of_start = 0.25 * len(right) + _TOUCH
        scale = np.sqrt(self._squares / max(len(right), 1))[:, None]
        weights, intercepts = towards.copy(), start.copy()
        ahead, ahead_start, momentum = weights, intercepts, 1.0
        for _ in range(_STEPS):
            surprise = np.where(asked, _chance(self._turned @ ahead + ahead_start) - right, 0.0)
            step = (self._turned.T @ surprise + penalty * (ahead - towards)) / bound
            step_of_start = (surprise.sum(axis=0) + _TOUCH * (ahead_start - start)) / bound_of_start
            fresh, fresh_start = ahead - step, ahead_start - step_of_start
            moved, moved_start = fresh - weights, fresh_start - intercepts
            # Momentum that has come to point uphill is let go.
            uphill = (step * bound * moved).sum() + (step_of_start * bound_of_start * moved_start).sum()
            longer = 1.0 if uphill > 0.0 else 0.5 * (1.0 + (1.0 + 4.0 * momentum**2) ** 0.5)
            share = 0.0 if uphill > 0.0 else (momentum - 1.0) / longer
            weights, intercepts, momentum = fresh, fresh_start, longer
            ahead, ahead_start = weights + share * moved, intercepts + share * moved_start
            if np.abs(scale * step).max(initial=0.0) < _SETTLED and np.abs(step_of_start).max() < _SETTLED:
                break
        return weights, intercepts


def _chance(log_odds: Floats) -> Floats:
    result: Floats = 1.0 / (1.0 + np.exp(-np.clip(log_odds, -30.0, 30.0)))
    return result


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
    strength = np.append(np.full(width, penalty), _TOUCH)
    found = start.copy()
    for _ in range(_ITERATIONS):
        chance = _chance(design @ found)
        gradient = design.T @ (chance - outcomes) + strength * (found - start)
        curvature = np.maximum(chance * (1.0 - chance), _LEAST_CURVATURE)
        step = np.linalg.solve((design * curvature[:, None]).T @ design + np.diag(strength), gradient)
        found -= step
        if np.abs(step).max() < _SETTLED:
            break
    return found[:-1], float(found[-1])
