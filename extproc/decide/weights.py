"""What quality, latency and cost weigh against each other, and what that makes of the objective in seconds.

A plan is worth `wq * P(correct) - wl * E[T] / T_ref - wc * E[C] / C_ref`. Divided by `wl / T_ref` that is in seconds: a correct
answer is worth `wq / wl * T_ref` of them, a dollar `wc / wl * T_ref / C_ref`. T_ref is how long a correct answer is worth waiting for
when quality and latency weigh the same; C_ref the dollars that weigh as much as these seconds when latency and cost do.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from types import MappingProxyType

from extproc.decide.first_correct import Objective
from extproc.fleet.topology import Cluster, Fleet

LEAST_LATENCY_WEIGHT = 0.01
"""Of a sum of 1: everything else is measured in seconds, so that these cannot weigh nothing."""

REFERENCE_PROMPT_TOKENS = 1_000
REFERENCE_OUTPUT_TOKENS = 300
"""The request by which a fleet's seconds and dollars are compared: a chat turn."""

TOKENS_PER_PRICE = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """Weights that sum to 1, each at least 0."""

    quality: float
    latency: float
    cost: float

    @classmethod
    def of(cls, *, quality: float, latency: float, cost: float) -> Weights:
        """Weights in the given proportion.

        Raises:
            ValueError: One is negative or not finite, or latency has less than `LEAST_LATENCY_WEIGHT` of their sum.
        """
        given = {"quality": quality, "latency": latency, "cost": cost}
        for name, value in given.items():
            if not (math.isfinite(value) and value >= 0.0):
                raise ValueError(f"the weight of {name} is {value:g}, expected a number of at least 0")
        total = quality + latency + cost
        if not math.isfinite(total) or latency < LEAST_LATENCY_WEIGHT * total or total <= 0.0:
            raise ValueError(
                f"latency weighs {latency:g} of {total:g}, expected at least {LEAST_LATENCY_WEIGHT:g} of the sum, "
                "for everything else is measured in seconds"
            )
        return cls(quality=quality / total, latency=latency / total, cost=cost / total)

    def items(self) -> tuple[tuple[str, float], ...]:
        """Names and values."""
        return tuple((field.name, getattr(self, field.name)) for field in fields(self))


class Preset(StrEnum):
    """Weights with a name."""

    BALANCED = "balanced"
    QUALITY = "quality"
    LATENCY = "latency"
    COST = "cost"


PRESETS: Mapping[Preset, Weights] = MappingProxyType(
    {
        Preset.BALANCED: Weights.of(quality=1.0, latency=1.0, cost=1.0),
        Preset.QUALITY: Weights.of(quality=0.8, latency=0.1, cost=0.1),
        Preset.LATENCY: Weights.of(quality=0.1, latency=0.8, cost=0.1),
        Preset.COST: Weights.of(quality=0.1, latency=0.1, cost=0.8),
    }
)
"""RouteBalance's (arXiv 2606.17949)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """The seconds and the dollars that weigh the same.

    Attributes:
        seconds: T_ref, above 0.
        usd: C_ref, above 0; infinite where nothing has a price.
    """

    seconds: float
    usd: float

    def objective(self, weights: Weights, *, congestion_weight: float) -> Objective:
        """What the weights make of the objective; others' seconds count as the client's own, times `congestion_weight`."""
        return Objective(
            worth_seconds=weights.quality / weights.latency * self.seconds,
            congestion_weight=congestion_weight,
            seconds_per_usd=weights.cost / weights.latency * self.seconds / self.usd,
        )


DEFAULT_REFERENCE = Reference(seconds=60.0, usd=math.inf)


@dataclass(frozen=True, slots=True)
class Range:
    """Bounds of a share, both included, 0 to 1."""

    least: float
    most: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Overrides:
    """How far clients may weigh otherwise.

    Attributes:
        presets: Presets that they may name.
        ranges: Bounds of their weights' shares: `quality`, `latency` and `cost`; None to allow no weights.
        reference: What makes seconds of their weights.
    """

    presets: frozenset[str] = frozenset()
    ranges: Mapping[str, Range] | None = None
    reference: Reference = DEFAULT_REFERENCE


NO_OVERRIDES = Overrides()


def derived_reference_usd(fleet: Fleet, reference_seconds: float) -> float:
    """Dollars that weigh as much as `reference_seconds`, by the fleet's own prices and speeds.

    On the reference request, the dearest model's price weighs as much as the slowest model's time: RouteBalance divides both by
    their largest among the candidates. Infinite when nothing has a price.
    """
    dearest = max(map(_reference_usd, fleet.clusters))
    if dearest <= 0.0:
        return math.inf
    return reference_seconds * dearest / max(map(_reference_seconds, fleet.clusters))


def _reference_usd(cluster: Cluster) -> float:
    price = cluster.price
    return (
        REFERENCE_PROMPT_TOKENS * price.input_usd_per_mtok
        + REFERENCE_OUTPUT_TOKENS * price.output_usd_per_mtok
    ) / TOKENS_PER_PRICE


def _reference_seconds(cluster: Cluster) -> float:
    speed = cluster.speed
    iteration = speed.iteration_base_seconds + speed.iteration_per_sequence_seconds
    return REFERENCE_PROMPT_TOKENS / speed.prefill_tokens_per_second + REFERENCE_OUTPUT_TOKENS * iteration
