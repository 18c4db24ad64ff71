"""One model's tokens per byte of each category, learned from its reported usage: a Bayesian linear regression.

A prompt of `units` (bytes by category, messages, the request itself) takes

    tokens = sum_c units_c * prior_c * m_c * (1 + noise),    m ~ Normal(1, COMMON_SPREAD**2 + diag(spread_c**2))

The multipliers m are tracked by the scalar Kalman update (Bishop, Pattern Recognition and Machine Learning, equations
3.50 and 3.51, one observation at a time) on the ratio of the true to the predicted tokens. Their common term is the
model's tokenizer as a whole: a few English prompts of a wasteful tokenizer raise its Chinese figure too.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from extproc.estimate.stored import as_count, as_numbers, as_object
from extproc.estimate.token_priors import PRIORS, Prior

COMMON_SPREAD = 0.12
"""Relative standard deviation of the factor that a whole vocabulary differs by."""

DRIFT = 0.006
"""Relative standard deviation that a multiplier in use may move by between two prompts: it keeps learning."""

LARGEST_SURPRISE = 3.0
"""Standard deviations beyond which an observation counts no more than one of this size."""

LARGEST_STEP = 0.25
"""Most that one observation moves a multiplier."""

NOISE_VARIANCE_PER_TOKEN = 0.42
"""Variance of a count, in tokens squared per token, beyond its categories' noise: what makes short texts uncertain."""

MARGIN_START = 2.2
MARGIN_LEAST = 0.5
MARGIN_MOST = 6.0
MARGIN_STEP = 0.10

NAMES: tuple[str, ...] = tuple(str(name) for name in PRIORS)

Floats = npt.NDArray[np.float64]


class CostPriors:
    """Priors as arrays in the order of `NAMES`, shared by all models.

    Args:
        priors: A prior for each name in `NAMES`.

    Raises:
        ValueError: A name is missing or unknown.
    """

    __slots__ = ("covariance", "index", "least", "most", "noise_squared", "tokens")

    def __init__(self, priors: Mapping[str, Prior] = PRIORS) -> None:
        if set(priors) != set(NAMES):
            raise ValueError(f"priors: expected {sorted(NAMES)}, got {sorted(priors)}")
        ordered = [priors[name] for name in NAMES]
        self.index = {name: index for index, name in enumerate(NAMES)}
        self.tokens: Floats = np.array([prior.tokens_per_unit for prior in ordered])
        self.noise_squared: Floats = np.array([prior.noise**2 for prior in ordered])
        self.least: Floats = np.array([prior.least for prior in ordered]) / self.tokens
        self.most: Floats = np.array([prior.most for prior in ordered]) / self.tokens
        self.covariance: Floats = COMMON_SPREAD**2 + np.diag([prior.spread**2 for prior in ordered])


class TokenCosts:
    """Tokens per unit of one model.

    Args:
        priors: What is known before the model's usage is seen.
        under_rate: Share of prompts whose true count may exceed the upper estimate, between 0 and 1.

    Attributes:
        expected: Tokens per unit by name.
        deviation: Standard deviation of `expected`, from what is not learned yet and from text to text.
        margin: Standard deviations above the expected count that all but `under_rate` of prompts stay within; a
            prompt's is the mean over its tokens.
        samples: Observations learned.
    """

    __slots__ = (
        "_covariance",
        "_figures",
        "_margins",
        "_mean",
        "_priors",
        "_under_rate",
        "deviation",
        "expected",
        "margin",
        "samples",
    )

    def __init__(self, priors: CostPriors, under_rate: float) -> None:
        self._priors = priors
        self._under_rate = under_rate
        self._mean: Floats = np.ones(len(NAMES))
        self._covariance: Floats = priors.covariance.copy()
        self._margins: Floats = np.full(len(NAMES), MARGIN_START)
        self.samples = 0
        self.expected: dict[str, float] = {}
        self.deviation: dict[str, float] = {}
        self.margin: dict[str, float] = {}
        self._figures: dict[str, tuple[float, float, float]] = {}
        self._refresh()

    def estimate(self, units: Iterable[tuple[str, int]]) -> tuple[float, float]:
        """Expected and conservative tokens of a prompt of `units`, pairs of a name in `NAMES` and a count."""
        figures = self._figures
        tokens = variance = margins = 0.0
        for name, count in units:
            expected, deviation, margin = figures[name]
            part = count * expected
            spread = count * deviation
            tokens += part
            variance += spread * spread
            margins += part * margin
        if tokens <= 0.0:
            return 0.0, 0.0
        return tokens, tokens + margins / tokens * math.sqrt(variance + NOISE_VARIANCE_PER_TOKEN * tokens)

    def learn(self, units: Sequence[tuple[str, int]], tokens: int) -> None:
        """Learn that a prompt of `units` took `tokens` tokens (those outside `units` already taken off).

        Args:
            units: Pairs of a name in `NAMES` and its units, above 0.
            tokens: At least 1.
        """
        shares = np.zeros(len(NAMES))
        for name, count in units:
            shares[self._priors.index[name]] = count
        is_under = self.estimate(units)[1] < tokens
        shares *= self._priors.tokens
        total = float(shares.sum())
        shares /= total
        self._adjust_margins(shares, is_under=is_under)
        self._update(shares, tokens / total, total)
        self.samples += 1
        self._refresh()

    def _update(self, shares: Floats, observed: float, total: float) -> None:
        """Scalar Kalman update of the multipliers on `observed` = shares . m, with bounded influence."""
        active = shares > 0
        self._covariance[active, active] += DRIFT**2
        predicted = float(shares @ self._mean)
        noise = predicted**2 * (float(shares @ self._priors.noise_squared) + NOISE_VARIANCE_PER_TOKEN / total)
        gain = self._covariance @ shares
        variance = float(shares @ gain) + noise
        surprise = observed - predicted
        step = gain * (surprise / variance)
        # What is too surprising is believed in part only, and leaves its part of the uncertainty in place.
        trust = min(
            1.0,
            LARGEST_SURPRISE * math.sqrt(variance) / max(abs(surprise), 1e-12),
            LARGEST_STEP / max(float(np.abs(step).max()), 1e-12),
        )
        self._mean = np.clip(self._mean + trust * step, self._priors.least, self._priors.most)
        self._covariance -= np.outer(gain, gain * (trust / variance))
        # Rounding may leave a variance slightly negative; the floor also keeps a settled multiplier movable.
        np.fill_diagonal(self._covariance, np.maximum(self._covariance.diagonal(), DRIFT**2))

    def _adjust_margins(self, shares: Floats, *, is_under: bool) -> None:
        """Track the quantile: up for a miss, down much less for a hit (gradient of the pinball loss)."""
        step = MARGIN_STEP * ((1.0 - self._under_rate) if is_under else -self._under_rate)
        self._margins += shares * (step / float(shares @ shares))
        np.clip(self._margins, MARGIN_LEAST, MARGIN_MOST, out=self._margins)

    def _refresh(self) -> None:
        self.expected = dict(zip(NAMES, (self._mean * self._priors.tokens).tolist(), strict=True))
        deviation = np.sqrt(self._covariance.diagonal() + (self._mean**2) * self._priors.noise_squared)
        self.margin = dict(zip(NAMES, self._margins.tolist(), strict=True))
        self.deviation = dict(zip(NAMES, (deviation * self._priors.tokens).tolist(), strict=True))
        rows = zip(self.expected.values(), self.deviation.values(), self.margin.values(), strict=True)
        self._figures = dict(zip(NAMES, rows, strict=True))

    def state(self) -> dict[str, object]:
        """A JSON-able copy of all that was learned."""
        lower = self._covariance[np.tril_indices(len(NAMES))]
        return {
            "samples": self.samples,
            "margins": [float(f"{value:.6g}") for value in self._margins],
            "mean": [float(f"{value:.6g}") for value in self._mean],
            "covariance": [float(f"{value:.6g}") for value in lower],
        }

    @classmethod
    def restored(cls, state: object, priors: CostPriors, under_rate: float) -> TokenCosts:
        """Rebuild from `state()`.

        Raises:
            ValueError: The state is malformed; the text says what.
        """
        stored = as_object(state, "costs")
        count = len(NAMES)
        samples = as_count(stored.get("samples"), "samples")
        margins = np.array(as_numbers(stored.get("margins"), count, "margins"))
        mean = np.array(as_numbers(stored.get("mean"), count, "mean"))
        lower = as_numbers(stored.get("covariance"), count * (count + 1) // 2, "covariance")
        covariance = np.zeros((count, count))
        covariance[np.tril_indices(count)] = lower
        covariance += np.tril(covariance, -1).T
        if (covariance.diagonal() <= 0).any() or np.abs(covariance).max() > 100:
            raise ValueError("covariance: expected variances above 0 and entries up to 100")
        costs = cls(priors, under_rate)
        costs.samples = samples
        costs._margins = np.clip(margins, MARGIN_LEAST, MARGIN_MOST)
        costs._mean = np.clip(mean, priors.least, priors.most)
        costs._covariance = covariance
        costs._refresh()
        return costs
