"""What happens next: actions in order of time, those of one moment in the order in which they were planned."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush


class Events:
    """The agenda of a run. Time is a number of seconds since its start and never goes back."""

    def __init__(self) -> None:
        self.now = 0.0
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._planned = 0

    def at(self, seconds: float, action: Callable[[], None]) -> None:
        """Plan an action; one in the past happens now."""
        self._planned += 1
        heappush(self._agenda, (max(seconds, self.now), self._planned, action))

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Plan an action `seconds` from now."""
        self.at(self.now + seconds, action)

    def step(self) -> bool:
        """Do what comes next; False when nothing is left."""
        if not self._agenda:
            return False
        self.now, _, action = heappop(self._agenda)
        action()
        return True
