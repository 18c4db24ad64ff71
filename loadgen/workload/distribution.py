"""The forms that fitted figures take: quantile tables, and the two kinds of traffic built from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

FINE = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.999, 1.0)
"""Probabilities of tables with thousands of observations behind them."""

COARSE = (0.0, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0)
"""Probabilities of tables with fewer observations, or of parts of a distribution."""


@dataclass(frozen=True, slots=True)
class Quantiles:
    """A distribution as a table; values between two entries are interpolated linearly.

    Attributes:
        probabilities: Ascending from 0 to 1.
        values: Not descending, as many as `probabilities`.
    """

    probabilities: tuple[float, ...]
    values: tuple[float, ...]

    def __post_init__(self) -> None:
        steps = np.diff(self.probabilities)
        if len(self.probabilities) != len(self.values) or len(self.values) < 2:
            raise ValueError("a quantile table needs as many values as probabilities, at least two")
        if self.probabilities[0] != 0 or self.probabilities[-1] != 1 or np.any(steps <= 0):
            raise ValueError("probabilities must ascend from 0 to 1")
        if np.any(np.diff(self.values) < 0):
            raise ValueError("values must not descend")

    def at(self, probability: Floats) -> Floats:
        """Values at `probability` (0 to 1), elementwise: the inverse of the distribution function."""
        return np.interp(probability, self.probabilities, self.values)

    def mean(self) -> float:
        """Mean of the interpolated distribution."""
        middles = (np.array(self.values[1:]) + np.array(self.values[:-1])) / 2
        return float(np.diff(self.probabilities) @ middles)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestTraffic:
    """Requests of a service: sizes drawn one by one, arrivals at a rate that changes in steps.

    Attributes:
        source: Where the figures come from.
        rate: Mean arrivals per second.
        profile: Rate of each step over the mean rate; repeats.
        step_seconds: Length of one step of the profile.
        gap: Gaps between arrivals, in units of the mean gap at that moment.
        prompt_tokens: Distribution of prompt sizes.
        output_tokens: Distribution of output sizes for equally likely prompt sizes, shortest prompts first.
        follow_up_share: Share of calls that continue an earlier conversation and repeat its prompt's text.
        block_tokens: Tokens per block of shared prefix; 0 when prefixes are unknown.
    """

    source: str
    rate: float
    profile: tuple[float, ...]
    step_seconds: float
    gap: Quantiles
    prompt_tokens: Quantiles
    output_tokens: tuple[Quantiles, ...]
    follow_up_share: float
    block_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentTraffic:
    """Sessions of an agent: each call repeats the prompt before it and adds to it.

    Attributes:
        source: Where the figures come from.
        pause_seconds: Time from the last call of a session to the first of the next; one session runs at a time.
        calls: Calls per session.
        gap_seconds: Time from one call of a session to the next.
        first_prompt_tokens: Prompt of a session's first call.
        growth_tokens: A session's mean growth of the prompt per call that grows it.
        still_share: Share of calls whose prompt does not grow (a repeated or parallel call).
        output_tokens: Distribution of output sizes.
        block_tokens: Tokens per block of shared prefix.
    """

    source: str
    pause_seconds: Quantiles
    calls: Quantiles
    gap_seconds: Quantiles
    first_prompt_tokens: Quantiles
    growth_tokens: Quantiles
    still_share: float
    output_tokens: Quantiles
    block_tokens: int


Traffic = RequestTraffic | AgentTraffic
