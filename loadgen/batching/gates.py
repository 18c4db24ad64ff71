"""When requests are decided on: as they come, or collected in a window and the longest first.

All gates share one decider, which takes a fixed time per request. RouteBalance (arXiv 2606.17949) opens a window with the first request
and closes it by size or time; the share of instances with a queue chooses size and time of the next window. It decides on the longest
expected answer first (LPT). The alternative never waits for others: what has come while the decider was busy is the batch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from loadgen.virtual.events import Events

DECISION_SECONDS = 0.002
"""Time that one decision takes, generously: docs/overhead.md measures less, gRPC included."""


@dataclass(frozen=True, slots=True)
class Window:
    """Closes after so many seconds, or with so many requests."""

    seconds: float
    requests: int


FIRST = Window(0.100, 8)
QUIET, BUSY, FULL = Window(0.050, 4), Window(0.100, 16), Window(0.200, 32)
"""RouteBalance's windows, by the share of instances that have a queue: below 0.3, below 0.7, and above."""


def published(queued_share: float) -> Window:
    """RouteBalance's choice."""
    return QUIET if queued_share < 0.3 else BUSY if queued_share < 0.7 else FULL


def zero_when_idle(queued_share: float) -> Window | None:
    """The same, but no window while no instance has a queue: then nobody can be better placed by waiting."""
    return published(queued_share) if queued_share > 0.0 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """How requests are collected.

    Attributes:
        title: Name for tables.
        choose: Window for the next batch by the share of instances that have a queue; None for no window.
        first: Window of the first batch.
        longest_first: True to decide on the longest expected answers first, False in order of arrival.
    """

    title: str
    choose: Callable[[float], Window | None]
    first: Window | None = None
    longest_first: bool = True


RULES = (
    Rule(title="as they come", choose=lambda _share: None, longest_first=False),
    Rule(title="what came meanwhile, longest first", choose=lambda _share: None),
    Rule(title="window only with queues, longest first", choose=zero_when_idle),
    Rule(title="RouteBalance's windows, longest first", choose=published, first=FIRST),
    Rule(title="RouteBalance's windows, in order", choose=published, first=FIRST, longest_first=False),
    Rule(title="200 ms, longest first", choose=lambda _share: Window(0.2, 1000), first=Window(0.2, 1000)),
)
"""What is compared; the first is what the service does."""


@dataclass(frozen=True, slots=True)
class Job:
    """One request before its decision.

    Attributes:
        length: Tokens of its answer, expected.
        decide: Decides on it, and sends it.
    """

    length: float
    decide: Callable[[], None]


class Gate:
    """Holds requests back as its rule says, and hands them to the decider one after another.

    Args:
        rule: When.
        events: The run's agenda.
        queued_share: Share of the instances that have a queue at this moment.
        decision_seconds: Time that one decision takes.
    """

    def __init__(
        self,
        rule: Rule,
        events: Events,
        queued_share: Callable[[], float],
        decision_seconds: float = DECISION_SECONDS,
    ) -> None:
        self._rule = rule
        self._events = events
        self._queued_share = queued_share
        self._decision_seconds = decision_seconds
        self._window = rule.first
        self._waiting: list[Job] = []
        self._closed: list[Job] = []
        self._is_busy = False
        self._opened = 0

    def offer(self, job: Job) -> None:
        """Take a request in; it is decided on later, in its turn."""
        self._waiting.append(job)
        if self._window is None:
            self._start()
            return
        if len(self._waiting) == 1:
            self._opened += 1
            number = self._opened
            self._events.after(self._window.seconds, lambda: self._close(number))
        if len(self._waiting) >= self._window.requests:
            self._close(self._opened)

    def _close(self, number: int) -> None:
        """End a window, unless it ended by its size before."""
        if number != self._opened or not self._waiting:
            return
        self._closed += self._ordered()
        self._window = self._rule.choose(self._queued_share())
        self._start()

    def _ordered(self) -> list[Job]:
        jobs, self._waiting = self._waiting, []
        return sorted(jobs, key=lambda job: -job.length) if self._rule.longest_first else jobs

    def _start(self) -> None:
        if self._is_busy:
            return
        if not self._closed and self._window is None:
            self._closed = self._ordered()
            self._window = self._rule.choose(self._queued_share())
        if self._closed:
            self._is_busy = True
            self._events.after(self._decision_seconds, self._decide)

    def _decide(self) -> None:
        self._is_busy = False
        self._closed.pop(0).decide()
        self._start()
