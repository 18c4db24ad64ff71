"""What happens next: actions in order of time, those of one moment in the order in which they were planned."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from heapq import heappop, heappush

Action = Callable[[], None]


class Events:
    """The agenda of a run. Time is a number of seconds since its start and never goes back."""

    def __init__(self) -> None:
        self.now = 0.0
        self._agenda: list[tuple[float, int, Action]] = []
        self._planned = 0
        self._fed: Iterator[tuple[float, Action]] = iter(())
        self._next_fed: tuple[float, Action] | None = None

    def at(self, seconds: float, action: Action) -> None:
        """Plan an action; one in the past happens now."""
        self._planned += 1
        heappush(self._agenda, (max(seconds, self.now), self._planned, action))

    def after(self, seconds: float, action: Action) -> None:
        """Plan an action `seconds` from now."""
        self.at(self.now + seconds, action)

    def feed(self, actions: Iterable[tuple[float, Action]]) -> None:
        """Plan many actions in ascending order of time, made as they come up; they go before others of the same moment.

        What was fed before and has not happened is dropped.
        """
        self._fed = iter(actions)
        self._next_fed = next(self._fed, None)

    def step(self) -> bool:
        """Do what comes next; False when nothing is left."""
        agenda, fed = self._agenda, self._next_fed
        if fed is not None and (not agenda or fed[0] <= agenda[0][0]):
            seconds, action = fed
            self.now = max(seconds, self.now)
            self._next_fed = next(self._fed, None)
        elif agenda:
            self.now, _, action = heappop(agenda)
        else:
            return False
        action()
        return True
