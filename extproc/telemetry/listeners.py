"""Several listeners as one."""

from __future__ import annotations

from extproc.calibrate.outcome import Outcome
from extproc.telemetry.records import AttemptRecord, DecideRecord, Listener


class Listeners:
    """Tells each of the given listeners, in order."""

    def __init__(self, *listeners: Listener) -> None:
        self._listeners = listeners

    def decided(self, record: DecideRecord) -> None:
        """Tell of a finished DECIDE exchange."""
        for listener in self._listeners:
            listener.decided(record)

    def attempted(self, record: AttemptRecord) -> None:
        """Tell of a finished try."""
        for listener in self._listeners:
            listener.attempted(record)

    def finished(self, outcome: Outcome) -> None:
        """Tell of a finished request."""
        for listener in self._listeners:
            listener.finished(outcome)
