"""Traffic as arrays: when requests come and how many tokens they have."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from loadgen.arrivals import poisson

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Sizes:
    """Token counts of requests; the arrays have one entry per request.

    Attributes:
        prompt_tokens: At least 1.
        output_tokens: At least 1.
    """

    prompt_tokens: Ints
    output_tokens: Ints

    def __len__(self) -> int:
        return len(self.prompt_tokens)

    @property
    def total_tokens(self) -> Ints:
        """Prompt and output together: the true token budget."""
        return self.prompt_tokens + self.output_tokens

    def where(self, chosen: Bools | Ints) -> Sizes:
        """Some of them, by mask or by index."""
        return Sizes(self.prompt_tokens[chosen], self.output_tokens[chosen])


@dataclass(frozen=True, slots=True)
class Traffic:
    """Requests and when they come.

    Attributes:
        arrivals: Seconds, ascending.
        sizes: As many.
    """

    arrivals: Floats
    sizes: Sizes

    def __len__(self) -> int:
        return len(self.arrivals)


def drawn(sizes: Sizes, count: int, rate: float, rng: np.random.Generator) -> Traffic:
    """Poisson arrivals of requests drawn from `sizes` with replacement.

    Args:
        sizes: What is drawn from, not empty.
        count: Number of requests.
        rate: Requests per second.
        rng: Source of randomness.
    """
    return Traffic(poisson(count, rate, rng), sizes.where(rng.integers(0, len(sizes), count)))
