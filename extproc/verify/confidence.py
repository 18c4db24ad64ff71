"""How sure was the model of its own words? Log-probabilities, when the client asked for them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from extproc.facts.answer import Choice
from extproc.verify.finding import Finding, passed, rejected

CHECK: Final = "confidence"


@dataclass(frozen=True, slots=True)
class ConfidenceSpec:
    """Least natural logarithms of token probabilities, each <= 0; None for no demand.

    Attributes:
        min_mean: For the mean over all tokens: -0.5 is a geometric mean probability of 61 %.
        min_token: For the least likely token: -7 is a probability of 0.1 %.
    """

    min_mean: float | None = None
    min_token: float | None = None


def check_confidence(spec: ConfidenceSpec, choice: Choice) -> Finding | None:
    """Reject a choice whose tokens were too unlikely; no opinion without log-probabilities or thresholds."""
    values = choice.token_logprobs
    if not values or (spec.min_mean is None and spec.min_token is None):
        return None
    mean = math.fsum(values) / len(values)
    least = min(values)
    detail = f"mean {mean:.3f}, least {least:.3f} over {len(values)} tokens"
    if spec.min_mean is not None and mean < spec.min_mean:
        return rejected(CHECK, "confidence.mean", detail)
    if spec.min_token is not None and least < spec.min_token:
        return rejected(CHECK, "confidence.token", detail)
    return passed(CHECK, detail)
