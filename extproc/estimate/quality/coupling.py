"""One latent difficulty per question, which every model meets: what makes failures hang together.

A question's difficulty e is a standard normal variable; a model that is right with chance p over all such questions is
right with chance

    sigmoid(c + a * e),    c chosen so that the mean over e is p

on one of difficulty e: the two-parameter logistic model of item response theory (Birnbaum 1968), with the slope a as
discrimination, read from the model's side. The integral over e is a sum over fixed nodes, so that a failure is a
multiplication of the nodes' weights by (1 - p) and everything is a small matrix product. The marginal chances do not
depend on the slopes, which is why they can be fitted, learned and guarded on their own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

NODE_COUNT: Final = 15

MOST_LOG_ODDS: Final = 5.0
"""Log odds beyond which no chance is believed: 0.7 % and 99.3 %."""

_ATTENUATION: Final = 16.0 * 3.0**0.5 / (15.0 * np.pi)
"""The probit approximation's constant: the mean of sigmoid(c + a e) is close to sigmoid(c / sqrt(1 + (k a)²))."""


def _normal_nodes(count: int) -> tuple[Floats, Floats]:
    """Nodes and weights of Gauss-Hermite quadrature for the standard normal distribution."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(count)
    return nodes, weights / weights.sum()


NODES, WEIGHTS = _normal_nodes(NODE_COUNT)

_MIDDLE: Final = NODE_COUNT // 2
_STEP: Final = float(NODES[_MIDDLE + 1] - NODES[_MIDDLE - 1])


@dataclass(frozen=True, slots=True)
class Ability:
    """What a model can do about one question: its chances at every difficulty follow from it.

    Attributes:
        log_odds: c, the log odds of being right on a question of mean difficulty.
        slope: a, the discrimination, at least 0.
    """

    log_odds: float
    slope: float


def ability(weights: Floats) -> tuple[float, float]:
    """Mean and standard deviation of the difficulty under some weights of the nodes, which sum to 1."""
    mean = float(weights @ NODES)
    return mean, float(np.sqrt(max(0.0, float(weights @ NODES**2) - mean**2)))


ABILITY: Final = ability(WEIGHTS)
"""What `ability` says before anything has failed."""


def tabulate(log_odds: Floats, slopes: Floats) -> Floats:
    """Chances at each node of models with the given marginal chances.

    Args:
        log_odds: Log odds of the marginal chance of each model, within `MOST_LOG_ODDS` of zero.
        slopes: Discrimination of each model, at least 0.

    Returns:
        Chances, shape (models, nodes); their mean under `WEIGHTS` is the marginal chance within 0.0005
        for slopes up to 3, and within 0.0015 for slopes up to 5.
    """
    reach = slopes[:, None] * NODES
    centre = log_odds * np.hypot(1.0, _ATTENUATION * slopes)
    table = _sigmoid(centre[:, None] + reach)
    # One step of Newton's method, on log odds, takes out what the probit approximation leaves.
    mean = table @ WEIGHTS
    rest = 1.0 - mean
    missing = log_odds - np.log(mean / rest)
    centre += missing * mean * rest / (mean - (table * table) @ WEIGHTS)
    return _sigmoid(centre[:, None] + reach)


def abilities(table: Floats) -> list[Ability]:
    """Read c and a of each model out of its chances at the nodes, shape (models, nodes)."""
    # Beside the middle no chance is so near to 0 or 1 that its log odds are lost.
    return [_ability(*around) for around in table[:, _MIDDLE - 1 : _MIDDLE + 2].tolist()]


def _ability(below: float, middle: float, above: float) -> Ability:
    low, log_odds, high = (math.log(chance / (1.0 - chance)) for chance in (below, middle, above))
    return Ability(log_odds, max(0.0, (high - low) / _STEP))


def table_of(found: Sequence[Ability]) -> Floats:
    """Chances at each node of models with these abilities, shape (models, nodes)."""
    log_odds, slopes = np.array([(one.log_odds, one.slope) for one in found]).T
    return _sigmoid(log_odds[:, None] + slopes[:, None] * NODES)


def weights_after(table: Floats, failed: Sequence[int]) -> Floats:
    """Weights of the nodes once the models in these rows of the table have failed; they sum to 1."""
    if not failed:
        return WEIGHTS
    weights = WEIGHTS
    for row in failed:
        weights = weights * (1.0 - table[row])
    total: Floats = weights / weights.sum()
    return total


def _sigmoid(values: Floats) -> Floats:
    result: Floats = np.exp(-values)
    result += 1.0
    return np.reciprocal(result, out=result)
