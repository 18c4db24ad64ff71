"""The latency law of one cluster, learned online: an extended Kalman filter on the logarithms of its multipliers.

A latency is a sum of parts that the prior prices in seconds,

    seconds = sum_j prior_seconds_j * exp(phi_j) * noise,    phi ~ Normal(0, covariance), noise log-normal

so that d ln(seconds) / d phi_j is part j's share of the sum, and one observation is one scalar Kalman update (Bishop,
Pattern Recognition and Machine Learning, section 13.3) of ln(observed / predicted) along the shares. In logarithms
nothing becomes negative, the bounds around the prior are symmetric, and long latencies do not outweigh short ones.
The drift is proportional to the noise, which makes the update recursive least squares with a fixed memory.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from extproc.estimate.stored import as_count, as_numbers, as_object

Floats = npt.NDArray[np.float64]


class Part(IntEnum):
    """What a latency is made of.

    Attributes:
        OVERHEAD: What a request costs beside the engine's work.
        PREFILL: Its own prompt.
        BACKLOG: Prompts sent before and not yet prefilled, as far as the load book knows.
        CROWD: Prompts of the sequences beside that are not yet prefilled, beyond that.
        WAITING: Wait for a slot.
        ITERATION_BASE: W.
        ITERATION_PER_SEQUENCE: H.
        INTERFERENCE: Prompts that are prefilled beside its decoding: one for each neighbour that is replaced.
    """

    OVERHEAD = 0
    PREFILL = 1
    BACKLOG = 2
    CROWD = 3
    WAITING = 4
    ITERATION_BASE = 5
    ITERATION_PER_SEQUENCE = 6
    INTERFERENCE = 7


class Target(IntEnum):
    """What is observed: each has its own noise at each level of load."""

    TTFT = 0
    DECODE = 1
    TOTAL = 2


PARTS = len(Part)

LEVELS = 3
"""Levels of load that have their own noise and spread: the busier an instance, the less its latency can be known."""

LEVEL_SHARES = (2 / 3, 1 / 3)
"""Each of these that an idle instance's latency, as a share of the predicted one, is below raises the level by one."""

LARGEST_FACTOR = np.array([64.0, 8.0, 16.0, 128.0, 16.0, 8.0, 8.0, 16.0])
"""A multiplier stays between one over this and this, whatever is observed; by part."""

COMMON_SPREAD = 0.6
"""Standard deviation of the logarithm by which a prior misses a whole engine: prefill and iterations alike."""

_COMMON = np.array([0.0, 1.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0])
_SPREAD = np.array([1.0, 0.4, 0.5, 1.5, 0.5, 0.3, 0.6, 0.6])

PRIOR_COVARIANCE: Floats = np.diag(_SPREAD**2) + COMMON_SPREAD**2 * np.outer(_COMMON, _COMMON)

MEMORY = 100.0
"""Observations of one kind that a settled multiplier is made of, roughly."""

LARGEST_SURPRISE = 3.0
"""Standard deviations beyond which an observation counts no more than one of this size (Huber 1964)."""

LARGEST_STEP = 0.7
"""Most that one observation moves the logarithm of a multiplier: a factor of two."""

NOISE_START = 0.25
NOISE_LEAST = 0.03
NOISE_MOST = 1.0
"""Standard deviation of the logarithm of an observation that the law predicts perfectly."""

ONE_SIDED = 1.5
"""Mean surprise in standard deviations, over the last ten or so, from which on the engine is held to have changed."""

ONE_SIDED_STEP = 0.1
"""Weight of the newest surprise in that mean."""

REOPENED = 0.1
"""Share of the prior's covariance that is added when the engine has changed: the law learns quickly again."""

NOISE_STEP = 0.03
"""Weight of the newest observation in the noise."""


FACTOR_SPREAD = 0.2
"""Standard deviation of the logarithm of an instance's factor within a cluster."""

FACTOR_MOST = math.log(4.0)
"""Largest logarithm of an instance's factor."""

FACTOR_LEAK = 0.998
"""What a factor keeps at each observation: what all instances of a cluster share moves into the cluster's law."""


@dataclass(slots=True)
class InstanceFactor:
    """How far one instance is from its cluster, as the logarithm of a factor and its variance.

    Attributes:
        log: Positive for an instance that is slower than its cluster.
        variance: What is not known of `log`.
    """

    log: float = 0.0
    variance: float = FACTOR_SPREAD**2

    def widen(self, drift: float, siblings: int) -> None:
        """Let the factor move on, up to its variance as one of `siblings` factors that are 1 on the mean."""
        self.variance = min(FACTOR_SPREAD**2 * (1.0 - 1.0 / siblings), max(self.variance, 0.0) + drift)

    def state(self) -> list[float]:
        """A JSON-able copy."""
        return [float(f"{self.log:.6g}"), float(f"{self.variance:.6g}")]

    @classmethod
    def restored(cls, state: object, where: str) -> InstanceFactor:
        """Rebuild from `state()`.

        Raises:
            ValueError: The state is malformed; the text says what.
        """
        log, variance = as_numbers(state, 2, where)
        if not 0.0 <= variance <= 1.0:
            raise ValueError(f"{where}: expected a variance from 0 to 1, got {variance}")
        return cls(min(FACTOR_MOST, max(-FACTOR_MOST, log)), min(FACTOR_SPREAD**2, variance))


class LatencyLaw:
    """The multipliers of one cluster.

    Args:
        prior_seconds: What one unit of each part costs by the prior, above 0; units are a request (overhead), a
            token (prefill, backlog), a second (waiting) and an iteration (base and per sequence).

    Attributes:
        prior_seconds: As given.
        log: Logarithms of the multipliers.
        samples: Observations learned.
    """

    __slots__ = ("_covariance", "_noise", "_one_sided", "log", "prior_seconds", "samples")

    def __init__(self, prior_seconds: Floats) -> None:
        self.prior_seconds = prior_seconds
        self.log: Floats = np.zeros(PARTS)
        self.samples = 0
        self._covariance: Floats = PRIOR_COVARIANCE.copy()
        self._noise: Floats = np.full((len(Target), LEVELS), NOISE_START**2)
        self._one_sided: Floats = np.zeros(len(Target))

    @property
    def seconds(self) -> Floats:
        """What one unit of each part costs, in seconds, as learned."""
        learned: Floats = self.prior_seconds * np.exp(self.log)
        return learned

    def rebase(self, prior_seconds: Floats) -> None:
        """Take over another prior; the learned seconds stay, as far as the new bounds allow."""
        moved = self.log + np.log(self.prior_seconds / prior_seconds)
        self.prior_seconds = prior_seconds
        self.log = _bounded(moved)

    def learn(
        self,
        units: Floats,
        observed: float,
        target: Target,
        factor: InstanceFactor,
        *,
        level: int,
        siblings: int,
        excess: float = 0.0,
    ) -> None:
        """Learn from one latency of an instance whose factor is learned along.

        Args:
            units: Units of each part, at least 0 and not all 0.
            observed: Seconds, above 0.
            target: What was observed.
            factor: The instance's; changed in place.
            level: Level of load, below `LEVELS`.
            siblings: Instances of the cluster; that of a lone one has no factor, it is the cluster.
            excess: Variance of the observation's logarithm beyond the target's usual noise.
        """
        parts = units * self.seconds
        predicted = float(parts.sum())
        shares = parts / predicted
        noise = float(self._noise[target, level]) + excess
        self._drift(shares, noise)
        factor.widen(noise / MEMORY**2, siblings)
        gain = self._covariance @ shares
        known = float(shares @ gain) + factor.variance
        variance = known + noise
        surprise = math.log(observed / predicted) - factor.log
        step = gain * (surprise / variance)
        # What is too surprising is believed in part only, and leaves its part of the uncertainty in place.
        trust = min(
            1.0,
            LARGEST_SURPRISE * math.sqrt(variance) / max(abs(surprise), 1e-12),
            LARGEST_STEP / max(float(np.abs(step).max()), 1e-12),
        )
        self.log = _bounded(self.log + trust * step)
        self._covariance -= np.outer(gain, gain * (trust / variance))
        moved = FACTOR_LEAK * factor.log + trust * factor.variance * surprise / variance
        factor.log = min(FACTOR_MOST, max(-FACTOR_MOST, moved))
        factor.variance -= trust * factor.variance**2 / variance
        self._learn_noise((target, level), surprise, known + excess)
        self._notice_change(target, surprise / math.sqrt(variance))
        self.samples += 1

    def _drift(self, shares: Floats, noise: float) -> None:
        """Let what is observed here move on: the steady gain of a scalar filter is then 1 / MEMORY of its shares."""
        drift = noise / MEMORY**2
        diagonal = self._covariance.diagonal() + drift * (shares > 0.0)
        np.fill_diagonal(self._covariance, np.maximum(diagonal, drift))
        excess = float((diagonal / PRIOR_COVARIANCE.diagonal()).max())
        if excess > 1.0:
            self._covariance /= excess

    def _learn_noise(self, kind: tuple[int, int], surprise: float, known: float) -> None:
        noise = float(self._noise[kind])
        bounded = min(surprise**2, LARGEST_SURPRISE**2 * (noise + known))
        noise += NOISE_STEP * (max(0.0, bounded - known) - noise)
        self._noise[kind] = min(NOISE_MOST**2, max(NOISE_LEAST**2, noise))

    def _notice_change(self, target: Target, surprise: float) -> None:
        """Learn quickly again when surprises keep to one side: an engine that was restarted, throttled, replaced."""
        bounded = min(LARGEST_SURPRISE, max(-LARGEST_SURPRISE, surprise))
        self._one_sided[target] += ONE_SIDED_STEP * (bounded - self._one_sided[target])
        if abs(self._one_sided[target]) > ONE_SIDED:
            self._one_sided[target] = 0.0
            self._covariance += REOPENED * PRIOR_COVARIANCE

    def state(self) -> dict[str, object]:
        """A JSON-able copy of all that was learned."""
        return {
            "samples": self.samples,
            "prior_seconds": [float(f"{value:.9g}") for value in self.prior_seconds],
            "log": [float(f"{value:.6g}") for value in self.log],
            "covariance": [float(f"{value:.6g}") for value in self._covariance[np.tril_indices(PARTS)]],
            "noise": [float(f"{value:.6g}") for value in self._noise.flat],
        }

    @classmethod
    def restored(cls, state: object, where: str) -> LatencyLaw:
        """Rebuild from `state()`.

        Raises:
            ValueError: The state is malformed; the text says what.
        """
        stored = as_object(state, where)
        prior = np.array(as_numbers(stored.get("prior_seconds"), PARTS, f"{where}.prior_seconds"))
        if (prior <= 0.0).any():
            raise ValueError(f"{where}.prior_seconds: expected numbers above 0")
        lower = as_numbers(stored.get("covariance"), PARTS * (PARTS + 1) // 2, f"{where}.covariance")
        covariance = np.zeros((PARTS, PARTS))
        covariance[np.tril_indices(PARTS)] = lower
        covariance += np.tril(covariance, -1).T
        if (covariance.diagonal() <= 0.0).any() or np.abs(covariance).max() > 10.0:
            raise ValueError(f"{where}.covariance: expected variances above 0 and entries up to 10")
        law = cls(prior)
        law.samples = as_count(stored.get("samples"), f"{where}.samples")
        law.log = _bounded(np.array(as_numbers(stored.get("log"), PARTS, f"{where}.log")))
        law._covariance = covariance
        noise = np.array(as_numbers(stored.get("noise"), len(Target) * LEVELS, f"{where}.noise"))
        law._noise = np.clip(noise, NOISE_LEAST**2, NOISE_MOST**2).reshape(len(Target), LEVELS)
        return law


def _bounded(log: Floats) -> Floats:
    most = np.log(LARGEST_FACTOR)
    return np.clip(log, -most, most)


def level_of(alone: float, predicted: float) -> int:
    """Level of load at which an idle instance's latency would be `alone` seconds."""
    return sum(alone < share * predicted for share in LEVEL_SHARES)
