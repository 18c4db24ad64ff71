"""Logs when an instance becomes suspect and when it is trusted again: a line each, however many tries fail in between."""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass

from extproc.calibrate.outcome import TryRecord

logger = logging.getLogger(__name__)

CALM_SECONDS = 10.0
"""An instance that was not suspect and failed nobody for this long is trusted again. One that fails every other try would
otherwise fill the log."""

_BY_FLAG = {
    "UF": "no connection to it could be made",
    "UC": "it closed the connection",
    "UR": "it reset the request",
    "UT": "it did not answer in time",
    "UPE": "its answer was no HTTP",
}


@dataclass(slots=True)
class _Trouble:
    began_at: float
    last_at: float
    failed_tries: int = 0


class StandingLog:
    """Tells the log of each instance's standing. Times are seconds of any monotonic clock."""

    def __init__(self) -> None:
        self._troubles: dict[str, _Trouble] = {}

    def tried(self, record: TryRecord, now: float) -> None:
        """Hear of a finished try."""
        if record.is_failure and record.address:
            self._note(record.address, _why(record), now).failed_tries += 1

    def look(self, suspects: Collection[str], fleet: Collection[str], now: float) -> None:
        """Hear who of the fleet is suspect at the moment, failed tries or not."""
        for address in suspects:
            self._note(address, "connections to its /metrics are refused", now)
        for address, trouble in tuple(self._troubles.items()):
            if address not in fleet:
                del self._troubles[address]
            elif now - trouble.last_at >= CALM_SECONDS:
                del self._troubles[address]
                seconds = round(trouble.last_at - trouble.began_at, 1)
                logger.info(
                    "instance %s is trusted again: no trouble for %g s, after %g s of it",
                    address,
                    CALM_SECONDS,
                    seconds,
                    extra={"instance": address, "failed_tries": trouble.failed_tries},
                )

    def _note(self, address: str, why: str, now: float) -> _Trouble:
        trouble = self._troubles.get(address)
        if trouble is None:
            trouble = self._troubles[address] = _Trouble(now, now)
            logger.warning(
                "instance %s is suspect: %s; it is asked last until it answers again, ttca_instance_suspect on /metrics "
                "and /fleet show it",
                address,
                why,
                extra={"instance": address},
            )
        trouble.last_at = now
        return trouble


def _why(record: TryRecord) -> str:
    for flag in record.flags:
        if flag in _BY_FLAG:
            return _BY_FLAG[flag]
    return f"it answered {record.status}" if record.status else "it gave no answer"
