"""Prompt-token estimators that the service's own is compared with: one ratio, the paper's, and its authors' code.

The paper (arXiv 2604.08075) leaves open how a text gets its category; here each is given the one that the service's
own profile suggests: English prose, code, CJK, or mixed.
"""

from __future__ import annotations

import math
from typing import Protocol

from extproc.estimate.output_length import TextKind, kind_of
from extproc.estimate.tokens import PromptTokenEstimator
from extproc.facts.request import Api, RequestFacts
from extproc.facts.text import TextProfile

BYTES_PER_TOKEN = 4.0


class TokenEstimator(Protocol):
    """One model's prompt tokens."""

    def predict(self, text: TextProfile) -> tuple[int, int]:
        """Expected and conservative tokens of a text."""

    def learn(self, text: TextProfile, tokens: int) -> None:
        """Learn the true count."""


class FixedRatio:
    """Four bytes per token, always."""

    def predict(self, text: TextProfile) -> tuple[int, int]:
        """Both figures are the same."""
        tokens = math.ceil(text.total_bytes / BYTES_PER_TOKEN)
        return tokens, tokens

    def learn(self, text: TextProfile, tokens: int) -> None:
        """Learn nothing."""


class PaperRatio:
    """Exponential mean and deviation of bytes per token by category; conservative: mean less gamma deviations.

    Args:
        decay: Weight of the old mean, 0.95 in the paper.
        gamma: Deviations taken off, 1.0 in the paper.
    """

    def __init__(self, decay: float = 0.95, gamma: float = 1.0) -> None:
        self._decay = decay
        self._gamma = gamma
        self._moments: dict[str, tuple[float, float]] = {}

    def predict(self, text: TextProfile) -> tuple[int, int]:
        """Divide by the mean ratio, and by the conservative one."""
        mean, variance = self._moments.get(paper_category(text), (BYTES_PER_TOKEN, 0.0))
        conservative = max(0.5, mean - self._gamma * math.sqrt(variance))
        size = text.total_bytes
        return math.ceil(size / mean), math.ceil(size / conservative)

    def learn(self, text: TextProfile, tokens: int) -> None:
        """Move mean and variance; the start is the static ratio."""
        category = paper_category(text)
        mean, variance = self._moments.get(category, (BYTES_PER_TOKEN, 0.0))
        gap = text.total_bytes / tokens - mean
        weight = 1.0 - self._decay
        self._moments[category] = (mean + weight * gap, self._decay * (variance + weight * gap * gap))


class ShippedRatio:
    """What the authors ship (semantic-router, `calibrated_token_counter.go`).

    Decay 0.995, the first observation sets the ratio outright, used from the tenth on; conservative is an asymmetric
    mean that falls with 0.9 of a shortfall and rises with 0.1 of an excess.
    """

    def __init__(self, decay: float = 0.995, min_samples: int = 10) -> None:
        self._decay = decay
        self._min_samples = min_samples
        self._ratios: dict[str, tuple[float, float, int]] = {}

    def predict(self, text: TextProfile) -> tuple[int, int]:
        """Divide by the learned ratios, or by four before there are enough samples."""
        mean, conservative, samples = self._ratios.get(paper_category(text), (0.0, 0.0, 0))
        if samples < self._min_samples:
            mean = conservative = BYTES_PER_TOKEN
        size = text.total_bytes
        return math.ceil(size / mean), math.ceil(size / conservative)

    def learn(self, text: TextProfile, tokens: int) -> None:
        """Move both ratios."""
        category = paper_category(text)
        observed = text.total_bytes / tokens
        mean, conservative, samples = self._ratios.get(category, (observed, observed, 0))
        pull = 0.90 if observed < conservative else 0.10
        self._ratios[category] = (
            mean + (1.0 - self._decay) * (observed - mean),
            conservative + pull * (observed - conservative),
            samples + 1,
        )


class OurEstimate:
    """The service's estimator, asked for one model.

    Args:
        estimator: Its state is this model's; None for a fresh one.
    """

    def __init__(self, estimator: PromptTokenEstimator | None = None) -> None:
        self._estimator = estimator or PromptTokenEstimator()

    def predict(self, text: TextProfile) -> tuple[int, int]:
        """Ask the estimator as the service does."""
        estimate = self._estimator.predict(
            RequestFacts(api=Api.COMPLETIONS, model="model", text=text), "model"
        )
        return estimate.tokens, estimate.upper

    def learn(self, text: TextProfile, tokens: int) -> None:
        """Teach the estimator as the service does."""
        self._estimator.learn(
            model="model", text=text, prompt_token_ids=0, messages=0, images=0, prompt_tokens=tokens
        )


def paper_category(text: TextProfile) -> str:
    """The paper's category of a text: English prose, code, CJK or mixed."""
    kind = kind_of(text)
    return "mixed" if kind in {TextKind.LATIN, TextKind.OTHER} else str(kind)
