"""What a client wishes its request to be weighed by; whether that is granted, the operator's settings decide."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A preset, or weights.

    Attributes:
        preset: Name of a preset; empty for weights.
        quality: Share of a correct answer; the three shares sum to 1. 0 for a preset, as the others.
        latency: Share of time.
        cost: Share of money.
    """

    preset: str = ""
    quality: float = 0.0
    latency: float = 0.0
    cost: float = 0.0

    def __str__(self) -> str:
        """As the client would write it."""
        if self.preset:
            return f"preset={self.preset}"
        return f"quality={self.quality:.4g},latency={self.latency:.4g},cost={self.cost:.4g}"
