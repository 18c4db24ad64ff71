"""A run of iterations whose composition does not change, so that only its length and timing matter."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

from loadgen.engine.sequence import Sequence


@dataclass(slots=True)
class Stretch:
    """Iterations from `start_seconds` on: the first lasts `first_seconds`, each next `growth_seconds` longer.

    Times are computed from the start and the iteration's number, never summed up, so that they do not depend on
    how often somebody looks.

    Attributes:
        chunks: Prompt tokens prefilled per sequence; a stretch with chunks is one iteration long.
        length: Iterations planned.
        done: Iterations that have ended.
    """

    start_seconds: float
    first_seconds: float
    growth_seconds: float
    length: int
    chunks: list[tuple[Sequence, int]]
    done: int = 0

    def end_of(self, count: int) -> float:
        """When iteration number `count` (from 1) of the stretch ends."""
        growth = self.growth_seconds * (count * (count - 1) / 2)
        return self.start_seconds + count * self.first_seconds + growth

    def ended_by(self, now: float) -> int:
        """How many of its iterations have ended at `now`."""
        if self.end_of(self.length) <= now:
            return self.length
        elapsed = max(now - self.start_seconds, 0.0)
        if self.growth_seconds > 0.0:
            # growth/2·k² + (first - growth/2)·k = elapsed, in the form that does not cancel.
            half = self.growth_seconds / 2
            linear = self.first_seconds - half
            root = sqrt(linear * linear + 4 * half * elapsed)
            count = int(2 * elapsed / (linear + root)) if linear + root > 0 else 0
        else:
            count = int(elapsed / self.first_seconds)
        count = max(min(count, self.length - 1), self.done)
        # Rounding may have put the estimate one off.
        while self.end_of(count + 1) <= now:
            count += 1
        while count > self.done and self.end_of(count) > now:
            count -= 1
        return count
