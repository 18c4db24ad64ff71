"""Open-loop arrival times: computed whole before the first request, so that no answer can delay a request.

Every function returns seconds since the start of the run, ascending. Randomness is an argument.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Times = NDArray[np.float64]


def constant(count: int, rate: float) -> Times:
    """Arrivals `1 / rate` seconds apart, the first at 0.

    Raises:
        ValueError: `count` < 0 or `rate` (requests per second) is not positive.
    """
    _check(count, rate)
    return np.arange(count, dtype=np.float64) / rate


def poisson(count: int, rate: float, rng: np.random.Generator) -> Times:
    """Poisson arrivals at `rate` requests per second.

    Raises:
        ValueError: `count` < 0 or `rate` is not positive.
    """
    _check(count, rate)
    return np.cumsum(rng.exponential(1 / rate, count))


def gamma_burst(count: int, rate: float, variation: float, rng: np.random.Generator) -> Times:
    """Arrivals with gamma-distributed gaps: `variation` > 1 makes bursts, 1 is Poisson, < 1 is smoother.

    The gaps have mean `1 / rate` and coefficient of variation `variation`, so shape `1 / variation²`.

    Raises:
        ValueError: `count` < 0, or `rate` or `variation` is not positive.
    """
    _check(count, rate)
    if not 0 < variation < np.inf:
        raise ValueError(f"the coefficient of variation must be positive, not {variation}")
    shape = variation**-2
    return np.cumsum(rng.gamma(shape, 1 / (rate * shape), count))


def square_wave(
    count: int, rate: float, ratio: float, period_seconds: float, rng: np.random.Generator
) -> Times:
    """Poisson arrivals whose rate jumps each half period between a high and a low level, high first.

    Args:
        count: Number of arrivals.
        rate: Mean over a whole period, requests per second.
        ratio: High level over low level, at least 1.
        period_seconds: One high and one low phase together.
        rng: Source of randomness.

    Raises:
        ValueError: `count` < 0, `rate` or `period_seconds` is not positive, or `ratio` < 1.
    """
    _check(count, rate)
    if not 1 <= ratio < np.inf:
        raise ValueError(f"the ratio of high to low must be at least 1, not {ratio}")
    if not 0 < period_seconds < np.inf:
        raise ValueError(f"the period must be positive, not {period_seconds} s")
    low = 2 * rate / (1 + ratio)
    return warp(np.cumsum(rng.exponential(1.0, count)), np.array([low * ratio, low]), period_seconds / 2)


def warp(expected: Times, rates: NDArray[np.float64], step_seconds: float) -> Times:
    """Carry arrivals of unit rate over to a rate that changes in steps and repeats (inverse of Λ(t) = ∫ rate).

    Args:
        expected: Ascending; an element is the number of arrivals expected up to that moment.
        rates: Requests per second in each step, all positive; starts over after the last one.
        step_seconds: Length of one step.
    """
    per_cycle = rates * step_seconds
    knots = np.concatenate([[0.0], np.cumsum(per_cycle)])
    cycles, rest = np.divmod(expected, knots[-1])
    moments = np.arange(len(knots)) * step_seconds
    warped: Times = cycles * moments[-1] + np.interp(rest, knots, moments)
    return warped


def replay(recorded: Times, rate_scale: float) -> Times:
    """Recorded arrivals with time compressed: at scale 2 they come twice as fast.

    Raises:
        ValueError: `rate_scale` is not positive, or the recording runs backwards.
    """
    if not 0 < rate_scale < np.inf:
        raise ValueError(f"the rate scale must be positive, not {rate_scale}")
    if np.any(np.diff(recorded) < 0):
        raise ValueError("recorded arrivals must ascend")
    start = recorded[0] if len(recorded) else 0.0
    return (recorded - start) / rate_scale


def within(times: Times, duration_seconds: float) -> Times:
    """The arrivals before `duration_seconds`.

    Raises:
        ValueError: `duration_seconds` is not positive.
    """
    if not duration_seconds > 0:
        raise ValueError(f"the duration must be positive, not {duration_seconds} s")
    return times[: int(np.searchsorted(times, duration_seconds, side="left"))]


def _check(count: int, rate: float) -> None:
    if count < 0:
        raise ValueError(f"the number of requests must not be negative, not {count}")
    if not 0 < rate < np.inf:
        raise ValueError(f"the rate must be positive, not {rate} requests/s")
