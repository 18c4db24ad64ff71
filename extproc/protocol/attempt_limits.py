"""The compact header by which DECIDE tells the ATTEMPT filter what to watch for, whichever replica serves it.

`1;overflow=ip:port,ip:port`: a version, then `key=value` fields. A reader skips fields that it does not know and
treats a text that it cannot read as the absence of limits, so that replicas of two versions can serve one request.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

_VERSION = "1"
_OVERFLOW = "overflow"


@dataclass(frozen=True, slots=True)
class AttemptLimits:
    """What the ATTEMPT filter must know of a plan.

    Attributes:
        overflow_addresses: Instances whose context-length rejection is retried on the next attempt.
    """

    overflow_addresses: frozenset[str] = frozenset()


NO_LIMITS = AttemptLimits()
"""Every answer is passed on as it is."""


def encode_attempt_limits(overflow_addresses: Iterable[str]) -> str:
    """Return the header's text."""
    return f"{_VERSION};{_OVERFLOW}={','.join(overflow_addresses)}"


def decode_attempt_limits(text: str) -> AttemptLimits:
    """Return the limits; `NO_LIMITS` for a text that is empty, malformed or of another version."""
    version, *fields = text.split(";")
    if version.strip() != _VERSION:
        return NO_LIMITS
    for field in fields:
        key, _, value = field.partition("=")
        if key.strip() == _OVERFLOW:
            return AttemptLimits(frozenset(entry.strip() for entry in value.split(",") if entry.strip()))
    return NO_LIMITS
