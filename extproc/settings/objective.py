"""The fleet file's sections on what is weighed against what, and how far clients may weigh otherwise."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from extproc.settings.section import Section

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Seconds = Annotated[float, Field(gt=0, le=604_800, allow_inf_nan=False)]
"""How long something may take or wait: a week at most, which every timer and Envoy's durations hold."""

Share = Annotated[float, Field(ge=0, le=1)]


class PresetName(StrEnum):
    """Weights with a name."""

    BALANCED = "balanced"
    QUALITY = "quality"
    LATENCY = "latency"
    COST = "cost"


class QualityNormName(StrEnum):
    """How chances enter the score of `route_balance`."""

    RAW = "raw"
    MINMAX = "minmax"


class WeightsSettings(Section):
    """Weights; only their proportions count."""

    quality: NotNegative = Field(description="Weight of a correct answer.")
    latency: Positive = Field(
        description="Weight of time; at least 0.01 of the sum, since everything else is measured in seconds."
    )
    cost: NotNegative = Field(description="Weight of money.")


class ObjectiveSettings(Section):
    """What `first_correct` and `route_balance` weigh. A preset or weights say it in one line, seconds say it exactly."""

    preset: PresetName | None = Field(
        default=None,
        strict=False,
        description="(quality, latency, cost): `balanced` (1/3 each), `quality` (.8, .1, .1), `latency` (.1, .8, .1), "
        "`cost` (.1, .1, .8); null: what the fields below say.",
    )
    weights: WeightsSettings | None = Field(
        default=None, description="Weights of your own, in place of a preset's; null: the preset's."
    )
    reference_seconds: Positive = Field(
        default=60.0,
        description="T_ref of weights: how long a correct answer is worth waiting for when quality and latency weigh the "
        "same, in seconds.",
    )
    reference_usd: Positive | None = Field(
        default=None,
        description="C_ref of weights: the dollars that weigh as much as `reference_seconds` when latency and cost do; "
        "null: by the fleet's own prices and speeds.",
    )
    correct_answer_worth_seconds: Positive | None = Field(
        default=None,
        description="How long a correct answer is worth waiting for, in seconds: an attempt whose chance times this does "
        "not pay its price is not made. null: what preset or weights say, else 60.",
    )
    congestion_weight: NotNegative = Field(
        default=1.0,
        description="Weight of what an attempt costs others, now and to come; 0 looks at its own time only.",
    )
    seconds_per_usd: NotNegative | None = Field(
        default=None,
        description="What a dollar is worth, in seconds; 0: money does not count. null: what preset or weights say, else 0.",
    )


class RangeSettings(Section):
    """Bounds of a weight, as a share of the three weights' sum."""

    min: Share = Field(default=0.0, description="Least share.")
    max: Share = Field(default=1.0, description="Largest share.")


class WeightRangesSettings(Section):
    """Bounds of the weights that clients may ask for."""

    quality: RangeSettings = Field(default_factory=RangeSettings, description="Of a correct answer.")
    latency: RangeSettings = Field(default_factory=RangeSettings, description="Of time.")
    cost: RangeSettings = Field(default_factory=RangeSettings, description="Of money.")


class OverridesSettings(Section):
    """What clients may weigh otherwise, request by request. What is not allowed here is not obeyed, and said so."""

    presets: tuple[Annotated[PresetName, Field(strict=False)], ...] = Field(
        default=(), strict=False, description="Presets that `x-ttca-preset` may name."
    )
    weights: WeightRangesSettings | None = Field(
        default=None, description="Bounds of the weights in `x-ttca-weights`; null: none are obeyed."
    )
