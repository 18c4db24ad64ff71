"""The word on an answer as a whole."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class VerdictKind(StrEnum):
    """What is known about an answer."""

    ACCEPTED = "accepted"
    """It met at least one check of its content, and every check that was asked for."""
    REJECTED = "rejected"
    UNVERIFIED = "unverified"
    """Nothing speaks against it, and nothing was or could be checked that speaks for it."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The word on an answer.

    Attributes:
        kind: What is known.
        reason: Machine-readable `family.reason` of the rejection, or why nothing could be said; empty otherwise.
        detail: The same for people: printable ASCII, at most 80 characters of the answer.
        checks: Names of the checks that the answer met, in the order in which they ran.
    """

    kind: VerdictKind
    reason: str = ""
    detail: str = ""
    checks: tuple[str, ...] = ()
