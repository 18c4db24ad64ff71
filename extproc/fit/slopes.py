"""How strongly each model hangs on the latent difficulty: fitted to the joint outcomes, given the marginal chances."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from extproc.estimate.quality.coupling import MOST_LOG_ODDS, WEIGHTS, tabulate
from extproc.estimate.quality.priors import SLOPE

Floats = npt.NDArray[np.float64]

GRID: Final[Floats] = np.geomspace(0.5, 4.0, 16)
"""Slopes that are tried."""

SPREAD: Final = 0.35
COMMON_SPREAD: Final = 0.5
"""Standard deviations, believed beforehand, of the logarithm of a slope around the common one, and of that one around the
slope of models at large."""

_ROUNDS: Final = 4


def fit_slopes(log_odds: Floats, outcomes: Floats) -> Floats:
    """Fit the slope of each model to the joint likelihood, over a grid: all together, then one at a time.

    Two models determine a product of slopes only, which is why each is drawn to the common one.

    Args:
        log_odds: Marginal log odds of each model for each prompt, shape (prompts, models).
        outcomes: 0 or 1, or NaN where a model was not asked; of the same shape.

    Returns:
        Slopes of the models, and last the population's.
    """
    models = outcomes.shape[1]
    bounded = np.clip(log_odds, -MOST_LOG_ODDS, MOST_LOG_ODDS)
    likelihoods = [_log_likelihoods(bounded[:, model], outcomes[:, model]) for model in range(models)]
    together = [_total(sum(each[index] for each in likelihoods)) for index in range(len(GRID))]
    believed = -0.5 * (np.log(GRID / SLOPE) / COMMON_SPREAD) ** 2
    start = int((np.array(together) + believed).argmax())
    chosen = np.full(models, start)
    near = -0.5 * (np.log(GRID / GRID[start]) / SPREAD) ** 2
    joint = sum(each[start] for each in likelihoods)
    for _ in range(_ROUNDS):
        before = chosen.copy()
        for model, each in enumerate(likelihoods):
            others = joint - each[chosen[model]]
            scores = [_total(others + each[index]) for index in range(len(GRID))]
            chosen[model] = int((np.array(scores) + near).argmax())
            joint = others + each[chosen[model]]
        if (chosen == before).all():
            break
    return np.append(GRID[chosen], np.exp(np.log(GRID[chosen]).mean()))


def joint_log_likelihood(log_odds: Floats, slopes: Floats, outcomes: Floats) -> Floats:
    """Log likelihood of each prompt's outcomes, in nats, with one latent difficulty; slopes of 0 are independence."""
    bounded = np.clip(log_odds, -MOST_LOG_ODDS, MOST_LOG_ODDS)
    total = np.tile(np.log(WEIGHTS), (len(outcomes), 1))
    for model in range(outcomes.shape[1]):
        total += _at_nodes(bounded[:, model], outcomes[:, model], float(slopes[model]))
    top = total.max(axis=1)
    result: Floats = top + np.log(np.exp(total - top[:, None]).sum(axis=1))
    return result


def _total(joint: Floats) -> float:
    """Log likelihood of all prompts, from each one's at each node."""
    top = joint.max(axis=1)
    return float((top + np.log(np.exp(joint - top[:, None]) @ WEIGHTS)).sum())


def _log_likelihoods(log_odds: Floats, outcomes: Floats) -> Floats:
    """For each slope of the grid, of each prompt at each node."""
    return np.stack([_at_nodes(log_odds, outcomes, float(slope)) for slope in GRID])


def _at_nodes(log_odds: Floats, outcomes: Floats, slope: float) -> Floats:
    table = np.clip(tabulate(log_odds, np.full(len(log_odds), slope)), 1e-6, 1.0 - 1e-6)
    right = np.nan_to_num(outcomes, nan=0.0)[:, None]
    wrong = np.nan_to_num(1.0 - outcomes, nan=0.0)[:, None]
    result: Floats = right * np.log(table) + wrong * np.log(1.0 - table)
    return result
