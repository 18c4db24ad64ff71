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
        address: The try's instance; empty for one that nobody looked at.
        text: What the prompt looks like.
        load: The load of the try's instance when it was chosen; None when the try has taught what it could.
        at: When it was chosen, seconds of a monotonic clock.
        left: Instance of the try before, whose judged answer has taught all; empty when there is none. Its answer is delivered
            after all when Envoy refuses the try that was asked for, as it does when its retries are used up.
    """

    address: str
    text: TextProfile
    load: LoadAtDecision | None
    at: float
    left: str = ""

    def is_refused(self, served: str | None, attempts: int) -> bool:
        """True when the try was never made: the one before served the request, in so many tries."""
        return bool(self.left) and self.left == served and (self.address != served or attempts == 1)


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

    def go_on(self, decision_id: str, left: str = "") -> None:
        """The present try is over and has taught what it could; the next one, if it was expected, takes its place.

        Args:
            decision_id: The decision.
            left: Instance of the present try when Envoy is asked for another one; empty when its answer is delivered.
        """
        met = self._met.get(decision_id)
        if met is not None:
            following = self._next.pop(decision_id, replace(met, address="", load=None))
            self._met[decision_id] = replace(following, left=left)

    def forget(self, decision_id: str) -> Met | None:
        """Hand out what the last try met, once."""
        self._next.pop(decision_id, None)
        return self._met.pop(decision_id, None)
