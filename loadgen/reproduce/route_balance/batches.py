"""Requests that are held back for a moment and decided together, as the paper's scheduler does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

from loadgen.virtual.course import Course, Report, Try
from loadgen.virtual.deciders import Decider
from loadgen.virtual.fleet import VirtualFleet
from loadgen.virtual.policy import Asked
from loadgen.virtual.simulation import Simulation, Story


@dataclass(frozen=True, slots=True)
class Window:
    """How long requests are held back: until there are `size` of them, or `seconds` after the first."""

    size: int
    seconds: float


FIRST_WINDOW: Final = Window(8, 0.100)
NO_WINDOW: Final = Window(1, 0.0)
_ADAPTIVE: Final = ((0.3, Window(4, 0.050)), (0.7, Window(16, 0.100)))
_BUSIEST: Final = Window(32, 0.200)


def adaptive_window(queued_share: float) -> Window:
    """The paper's window by the share of instances with a queue."""
    return next((window for below, window in _ADAPTIVE if queued_share < below), _BUSIEST)


class BatchDecider(Decider, Protocol):
    """Decides several requests at once."""

    def window(self) -> Window:
        """How long the next batch is held back."""
        ...

    def decide_together(self, batch: Sequence[Asked], now: float) -> list[Course]:
        """One course per request, in the order of the batch."""
        ...


class StudySimulation(Simulation):
    """A simulation whose first asks wait for their batch, where the decider wants batches, and that counts tries.

    Args:
        fleet: What is routed to.
        decider: Decides.
        batcher: The same decider when it decides batches, else None.

    Attributes:
        tries: Upstream tries by model.
    """

    def __init__(self, fleet: VirtualFleet, decider: Decider, batcher: BatchDecider | None = None) -> None:
        super().__init__(fleet, decider)
        self.tries: Counter[str] = Counter()
        self._batcher = batcher
        self._held: list[tuple[Story, Asked]] = []
        self._size = 1
        self._batches = 0

    def _on_try(self, report: Report, attempt: Try) -> None:
        self.tries[attempt.model] += 1
        super()._on_try(report, attempt)

    def _ask(self, story: Story, asked: Asked) -> None:
        if self._batcher is None or asked.rows:
            super()._ask(story, asked)
            return
        if not self._held:
            window = self._batcher.window()
            self._size = window.size
            if window.size > 1:
                self._events.after(window.seconds, partial(self._close, self._batcher, self._batches))
        self._held.append((story, asked))
        if len(self._held) >= self._size:
            self._close(self._batcher, self._batches)

    def _close(self, batcher: BatchDecider, number: int) -> None:
        """Decide a batch, unless it was full before its time was up."""
        if number != self._batches:
            return
        self._batches += 1
        batch, self._held = self._held, []
        courses = batcher.decide_together([asked for _, asked in batch], self._events.now)
        for (story, asked), course in zip(batch, courses, strict=True):
            self._gateway.send(course, story.question, partial(self._ended, story, asked))
