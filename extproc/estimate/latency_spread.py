"""How far latencies lie from their predictions: quantiles of the logarithm of observed over predicted, learned online.

A histogram with forgetting instead of a formula: what is left after the prediction is skewed, and heavier in its tail
than a normal distribution. Bins are finest around no error at all (inverse hyperbolic sine spacing), so that a quantile
is as exact at 3 % of error as at a factor of three.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from extproc.estimate.stored import as_numbers

Floats = npt.NDArray[np.float64]

BINS = 80

LARGEST = 4.0
"""Largest logarithm of a ratio that is told apart."""

_KNEE = 0.02

EDGES: Floats = _KNEE * np.sinh(np.linspace(-1.0, 1.0, BINS + 1) * math.asinh(LARGEST / _KNEE))

FORGETTING = 0.998
"""What an observation still weighs after the next one: about 500 count."""

PRIOR_WEIGHT = 8.0
"""Observations that the spread before any observation counts for; they are forgotten like others."""


class ResidualSpread:
    """Quantiles of ln(observed / predicted).

    >>> spread = ResidualSpread(0.3)
    >>> for step in range(1000):
    ...     spread.learn((step % 100) / 1000)
    >>> round(spread.quantile(0.5), 2), round(spread.quantile(0.95), 2)
    (0.05, 0.1)

    Args:
        deviation: Standard deviation to start from.
    """

    __slots__ = ("_weights",)

    def __init__(self, deviation: float) -> None:
        normal = NormalDist(0.0, deviation)
        shares = np.diff([0.0, *(normal.cdf(float(edge)) for edge in EDGES[1:-1]), 1.0])
        self._weights: Floats = PRIOR_WEIGHT * shares

    def learn(self, log_ratio: float) -> None:
        """Learn from one ratio; those beyond `LARGEST` count as that large."""
        self._weights *= FORGETTING
        index = int(EDGES.searchsorted(log_ratio)) - 1
        self._weights[min(BINS - 1, max(0, index))] += 1.0

    def quantile(self, share: float) -> float:
        """The logarithm that a share of observations, strictly between 0 and 1, stays within."""
        sums = self._weights.cumsum()
        wanted = share * float(sums[-1])
        index = min(int(sums.searchsorted(wanted)), BINS - 1)
        inside = float(self._weights[index])
        part = 1.0 - (float(sums[index]) - wanted) / inside if inside > 0.0 else 1.0
        low, high = float(EDGES[index]), float(EDGES[index + 1])
        return low + min(1.0, max(0.0, part)) * (high - low)

    def state(self) -> list[float]:
        """A JSON-able copy of all that was learned."""
        return [float(f"{weight:.5g}") for weight in self._weights]

    def restore(self, state: object, where: str) -> None:
        """Replace all that was learned by a copy that `state` made.

        Raises:
            ValueError: The state is malformed; the text says what, and nothing changes.
        """
        weights = np.array(as_numbers(state, BINS, where))
        if weights.min() < 0.0 or not 0.0 < weights.sum() <= 2.0 / (1.0 - FORGETTING):
            raise ValueError(
                f"{where}: expected weights of at least 0 that sum up to {2.0 / (1.0 - FORGETTING):.0f} at most"
            )
        self._weights = weights
