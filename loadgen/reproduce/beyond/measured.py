"""How accuracy falls with length and language, measured on other models.

Maximum-likelihood fits of logistic curves to LongEval's lines (DachengLi1/LongChat, longeval) and BABILong's qa1 with
instructions, 4K to 64K tokens (booydar/babilong, babilong_evals); losses by language are medians over the models of
self-translate on MGSM, asked directly (juletx/self-translate, lm_eval/results).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

REFERENCE_TOKENS = 8_192


@dataclass(frozen=True, slots=True)
class Curve:
    """P(correct) = sigmoid(bias + slope · log2(length / 8192 tokens))."""

    bias: float
    slope: float

    def log_odds(self, tokens: float) -> float:
        """Log odds at a length."""
        return self.bias + self.slope * math.log2(tokens / REFERENCE_TOKENS)


CURVES: Mapping[str, Curve] = MappingProxyType(
    {
        "phi-3-mini-128k": Curve(0.70, -0.26),
        "longchat-13b-16k": Curve(2.66, -1.87),
        "longchat-7b-16k": Curve(2.13, -2.40),
        "mpt-30b-chat": Curve(-3.49, -4.68),
        "mpt-7b-storywriter": Curve(-1.06, -0.36),
    }
)
"""By measured model; the first is BABILong's, the others are LongEval's."""

LANGUAGE_SHIFTS: Mapping[str, float] = MappingProxyType({"en": 0.0, "ja": -1.40, "zh": -0.79})
"""Change of the log odds against English."""
