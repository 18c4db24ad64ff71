"""What one check says about an answer."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

MAX_EXCERPT_CHARS: Final = 80
"""Most characters of an answer that a detail may quote: details go into headers, traces and logs."""

_MAX_DETAIL_CHARS: Final = 200


class Outcome(StrEnum):
    """How a check ended that had something to check."""

    PASSED = "passed"
    REJECTED = "rejected"
    UNDECIDED = "undecided"
    """The check was asked for and could not be made; the answer may be right."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One check's word; a check that has nothing to say gives no finding at all.

    Attributes:
        check: Name of the check, a family or `family.check`.
        outcome: How it ended.
        reason: Machine-readable, `family.reason`; empty for a pass without remarks.
        detail: Printable ASCII for people, at most some 200 characters.
    """

    check: str
    outcome: Outcome
    reason: str = ""
    detail: str = ""

    @property
    def is_rejection(self) -> bool:
        """True when the answer is wrong."""
        return self.outcome is Outcome.REJECTED


def passed(check: str, detail: str = "") -> Finding:
    """Build the finding of a check that the answer met."""
    return Finding(check, Outcome.PASSED, detail=printable(detail, _MAX_DETAIL_CHARS))


def rejected(check: str, reason: str, detail: str) -> Finding:
    """Build the finding of a check that the answer did not meet."""
    return Finding(check, Outcome.REJECTED, reason, printable(detail, _MAX_DETAIL_CHARS))


def undecided(check: str, reason: str, detail: str) -> Finding:
    """Build the finding of a check that could not be made."""
    return Finding(check, Outcome.UNDECIDED, reason, printable(detail, _MAX_DETAIL_CHARS))


def printable(text: str, limit: int = MAX_EXCERPT_CHARS) -> str:
    """Return the beginning of a text in characters that a header takes, other characters as `?`."""
    head = " ".join(text[: limit + 1].split())
    cut = head if len(head) <= limit and len(text) <= limit else head[: limit - 3] + "..."
    return "".join(char if " " <= char <= "~" else "?" for char in cut)
