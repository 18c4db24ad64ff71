"""How far predictions are off, with bootstrap intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from extproc.fleet.snapshot import Floats
from loadgen.latency_eval.rivals import Guess
from loadgen.latency_eval.trace import TimedRequest

RESAMPLES = 500
BLOCK = 25
"""Requests that are drawn together: neighbours meet the same load, so that they err together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """Errors of one figure.

    Attributes:
        median: Median of |predicted - measured| / measured.
        low: Lower end of the 95 % bootstrap interval of the median.
        high: Its upper end.
        mean: Mean of the same (MAPE).
        coverage: Share of measured figures within the 90 % interval; NaN for a form without one.
        width: Median of the interval's upper end over its lower end; NaN for a form without one.
    """

    median: float
    low: float
    high: float
    mean: float
    coverage: float
    width: float


def score_ttft(guesses: Sequence[Guess], requests: Sequence[TimedRequest], seed: int) -> Score:
    """Errors of the time to the first token."""
    return _score(
        np.array([guess.ttft_seconds for guess in guesses]),
        np.array([guess.ttft_interval for guess in guesses]),
        np.array([request.ttft_seconds for request in requests]),
        seed,
    )


def score_total(guesses: Sequence[Guess], requests: Sequence[TimedRequest], seed: int) -> Score:
    """Errors of the total."""
    return _score(
        np.array([guess.total_seconds for guess in guesses]),
        np.array([guess.total_interval for guess in guesses]),
        np.array([request.total_seconds for request in requests]),
        seed,
    )


def _score(guessed: Floats, intervals: Floats, measured: Floats, seed: int) -> Score:
    errors = np.abs(guessed - measured) / measured
    low, high = median_interval(errors, block=BLOCK, seed=seed)
    has_interval = not np.isnan(intervals).any()
    inside = (intervals[:, 0] <= measured) & (measured <= intervals[:, 1])
    return Score(
        median=float(np.median(errors)),
        low=low,
        high=high,
        mean=float(errors.mean()),
        coverage=float(inside.mean()) if has_interval else float("nan"),
        width=float(np.median(intervals[:, 1] / intervals[:, 0])) if has_interval else float("nan"),
    )


def median_interval(errors: Floats, *, block: int, seed: int) -> tuple[float, float]:
    """95 % interval of the median by a bootstrap over blocks of consecutive errors (Künsch 1989)."""
    rng = np.random.default_rng(seed)
    block = max(1, min(block, len(errors) // 4))
    count = -(-len(errors) // block)
    starts = rng.integers(0, len(errors) - block + 1, size=(RESAMPLES, count))
    drawn = errors[(starts[:, :, np.newaxis] + np.arange(block)).reshape(RESAMPLES, -1)]
    low, high = np.quantile(np.median(drawn, axis=1), (0.025, 0.975))
    return float(low), float(high)
