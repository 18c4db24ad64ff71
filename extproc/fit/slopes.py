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

SPREAD: Final = 0.4
"""Standard deviation of the logarithm of a slope around the common one, believed beforehand."""

_ROUNDS: Final = 8


def fit_slopes(log_odds: Floats, outcomes: Floats) -> Floats:
    """Fit the slope of each model by generalised expectation maximisation (Bock and Aitkin 1981), over a grid.

    Two models determine a product of slopes only, which is why each is drawn to the common one.

    Args:
        log_odds: Marginal log odds of each model for each prompt, shape (prompts, models).
        outcomes: 0 or 1, or NaN where a model was not asked; of the same shape.

    Returns:
        Slopes of the models, and last the population's.
    """
    prompts, models = outcomes.shape
    bounded = np.clip(log_odds, -MOST_LOG_ODDS, MOST_LOG_ODDS)
    likelihoods = [_log_likelihoods(bounded[:, model], outcomes[:, model]) for model in range(models)]
    chosen = np.full(models, int(np.abs(np.log(GRID / SLOPE)).argmin()))
    common = SLOPE
    for _ in range(_ROUNDS):
        joint = np.log(WEIGHTS) + sum(likelihoods[model][chosen[model]] for model in range(models))
        share = np.exp(joint - joint.max(axis=1, keepdims=True))
        share /= share.sum(axis=1, keepdims=True)
        believed = -0.5 * (np.log(GRID / common) / SPREAD) ** 2
        before = chosen.copy()
        for model in range(models):
            expected = np.einsum("gpn,pn->g", likelihoods[model], share)
            chosen[model] = int((expected + believed * _weight(prompts)).argmax())
        common = float(np.exp(0.8 * np.log(GRID[chosen]).mean() + 0.2 * np.log(SLOPE)))
        if (chosen == before).all():
            break
    return np.append(GRID[chosen], common)


def joint_log_likelihood(log_odds: Floats, slopes: Floats, outcomes: Floats) -> Floats:
    """Log likelihood of each prompt's outcomes, in nats, with one latent difficulty; slopes of 0 are independence."""
    bounded = np.clip(log_odds, -MOST_LOG_ODDS, MOST_LOG_ODDS)
    total = np.tile(np.log(WEIGHTS), (len(outcomes), 1))
    for model in range(outcomes.shape[1]):
        total += _at_nodes(bounded[:, model], outcomes[:, model], float(slopes[model]))
    top = total.max(axis=1)
    result: Floats = top + np.log(np.exp(total - top[:, None]).sum(axis=1))
    return result


def _weight(prompts: int) -> float:
    """Worth of the belief about slopes: it fades as prompts come in, but never entirely."""
    return 1.0 + 0.01 * prompts


def _log_likelihoods(log_odds: Floats, outcomes: Floats) -> Floats:
    """For each slope of the grid, of each prompt at each node."""
    return np.stack([_at_nodes(log_odds, outcomes, float(slope)) for slope in GRID])


def _at_nodes(log_odds: Floats, outcomes: Floats, slope: float) -> Floats:
    table = np.clip(tabulate(log_odds, np.full(len(log_odds), slope)), 1e-6, 1.0 - 1e-6)
    right = np.nan_to_num(outcomes, nan=0.0)[:, None]
    wrong = np.nan_to_num(1.0 - outcomes, nan=0.0)[:, None]
    result: Floats = right * np.log(table) + wrong * np.log(1.0 - table)
    return result
