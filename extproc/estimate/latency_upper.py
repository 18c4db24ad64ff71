"""Upper figures of predicted latencies, worked out for whoever asks: a plan needs them of a few candidates alone."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from extproc.estimate.latency_filter import LEVEL_SHARES, LEVELS
from extproc.fleet.snapshot import Floats, Ints

_STANDARD = NormalDist()


@functools.cache
def _score(quantile: float) -> float:
    """Standard score of a quantile; few are ever asked for."""
    return _STANDARD.inv_cdf(quantile)


def output_log_spread(median_tokens: float, upper_tokens: float, quantile: float) -> float:
    """Deviation of the logarithm of a log-normal length that has these quantiles; 0 when they do not ascend.

    Args:
        median_tokens: Its median, above 0.
        upper_tokens: Its quantile `quantile`.
        quantile: Above 0.5 and below 1.
    """
    if upper_tokens <= median_tokens:
        return 0.0
    return math.log(upper_tokens / median_tokens) / _score(quantile)


@dataclass(frozen=True, slots=True, kw_only=True)
class UpperFactors:
    """By what factor a share of latencies stays within their predictions.

    Attributes:
        logs: Logarithms of the factors by level of load, TTFT first, shape (2 * LEVELS, rows of the fleet).
        rows: Rows that were predicted for, shape (k,).
        quantile: That share, between 0 and 1.
        output_log_spread: Deviation of the logarithm of the output's length, at least 0; for all rows or by position.
    """

    logs: Floats
    rows: Ints
    quantile: float
    output_log_spread: Floats | float = 0.0

    def ttft(self, alone_share: Floats) -> Floats:
        """Factors of the times to the first token.

        Args:
            alone_share: An idle instance's figure as a share of the predicted one, shape (k,).
        """
        factors: Floats = np.exp(_at_level(self.logs[:LEVELS], alone_share, self.rows))
        return factors

    def total(self, alone_share: Floats, decode_share: Floats) -> Floats:
        """Factors of the totals.

        Args:
            alone_share: An idle instance's figure as a share of the predicted one, shape (k,).
            decode_share: What decoding takes of the predicted total, shape (k,).
        """
        factors: Floats = np.exp(
            self._widened(_at_level(self.logs[LEVELS:], alone_share, self.rows), decode_share)
        )
        return factors

    def total_at(self, position: int, alone_share: float, decode_share: float) -> float:
        """Factor of one total; arguments as of `total`."""
        light, heavy = LEVEL_SHARES
        level = (alone_share < light) + (alone_share < heavy)
        log, spread = float(self.logs[LEVELS + level, self.rows[position]]), self.output_log_spread
        own_spread = spread if isinstance(spread, float) else float(spread[position])
        if own_spread > 0.0:
            of_length = _score(self.quantile) * own_spread * decode_share
            log = math.copysign(math.hypot(log, of_length), of_length)
        return math.exp(log)

    def _widened(self, log: Floats, decode_share: Floats) -> Floats:
        """Logarithms of totals with the spread of the length added where there is one, as of independent normal errors."""
        spread = self.output_log_spread
        of_length = _score(self.quantile) * spread * decode_share
        widened: Floats = np.where(
            np.asarray(spread) > 0.0, np.copysign(np.hypot(log, of_length), of_length), log
        )
        return widened


def _at_level(by_level: Floats, alone_share: Floats, rows: Ints) -> Floats:
    """The figure of each row at its level of load; `by_level` has the shape (LEVELS, rows of the fleet)."""
    size = by_level.shape[1]
    light, heavy = LEVEL_SHARES
    result: Floats = by_level.take(rows + size * (alone_share < light) + size * (alone_share < heavy))
    return result
