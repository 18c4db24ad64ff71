"""Medians with bootstrap intervals: machines are shared and noisy, so rounds are compared in pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class Interval:
    """A median and its 95 % bootstrap interval."""

    median: float
    low: float
    high: float


def median_interval(values: Sequence[float], *, seed: int) -> Interval:
    """Median of `values` with the 2.5 % and 97.5 % quantiles of the medians of resamples (Efron 1979).

    Raises:
        ValueError: There are no values.
    """
    if not values:
        raise ValueError("a median of nothing")
    known = np.asarray(values, dtype=np.float64)
    picks = np.random.default_rng(seed).integers(0, len(known), (RESAMPLES, len(known)))
    low, high = np.quantile(np.median(known[picks], axis=1), (0.025, 0.975))
    return Interval(float(np.median(known)), float(low), float(high))


def paired_ratio(values: Sequence[float], base: Sequence[float], *, seed: int) -> Interval:
    """Median over rounds of the ratio within each round.

    Raises:
        ValueError: The sequences differ in length or are empty.
    """
    return median_interval([value / other for value, other in zip(values, base, strict=True)], seed=seed)


def paired_difference(values: Sequence[float], base: Sequence[float], *, seed: int) -> Interval:
    """Median over rounds of the difference within each round.

    Raises:
        ValueError: The sequences differ in length or are empty.
    """
    return median_interval([value - other for value, other in zip(values, base, strict=True)], seed=seed)
