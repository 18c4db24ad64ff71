"""What decisions under way met: the load of the instance of each one's present try, until it is known how the try ended."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace

from extproc.estimate.latency_records import LoadAtDecision
from extproc.facts.text import TextProfile

MOST_DECISIONS = 200_000
"""Decisions that are remembered until their outcome comes; the oldest are forgotten first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Met:
    """What the present try of a decision met.

    Attributes:
        address: The try's instance.
        text: What the prompt looks like.
        load: The load of the try's instance when it was chosen; None when the try has taught what it could.
        at: When it was chosen, seconds of a monotonic clock.
    """

    address: str
    text: TextProfile
    load: LoadAtDecision | None
    at: float


class Encounters:
    """Remembers what decisions met, for those that this replica made."""

    def __init__(self) -> None:
        self._met: OrderedDict[str, Met] = OrderedDict()
        self._next: dict[str, Met] = {}

    def enter(self, decision_id: str, met: Met) -> None:
        """Remember a decision."""
        self._met[decision_id] = met
        if len(self._met) > MOST_DECISIONS:
            oldest, _ = self._met.popitem(last=False)
            self._next.pop(oldest, None)

    def of(self, decision_id: str) -> Met | None:
        """What the present try met; None when another replica decided."""
        return self._met.get(decision_id)

    def expect(self, decision_id: str, address: str, load: LoadAtDecision, now: float) -> None:
        """Note what the next try of a decision would meet."""
        met = self._met.get(decision_id)
        if met is not None:
            self._next[decision_id] = replace(met, address=address, load=load, at=now)

    def go_on(self, decision_id: str) -> None:
        """The present try is over and has taught what it could; the next one, if it was expected, takes its place."""
        met = self._met.get(decision_id)
        if met is not None:
            self._met[decision_id] = self._next.pop(decision_id, replace(met, load=None))

    def forget(self, decision_id: str) -> Met | None:
        """Hand out what the last try met, once."""
        self._next.pop(decision_id, None)
        return self._met.pop(decision_id, None)
