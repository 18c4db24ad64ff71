"""The headers by which clients say how their request is to be judged, or what is wrong with them."""

from __future__ import annotations

from typing import Final

from extproc.errors import BadRequestError
from extproc.protocol import names

MAX_CHARACTERS: Final = 4096
"""Longest expectation or session name."""

_LONGEST_DEADLINE: Final = 10
"""Digits: ten of them are 115 days."""


def checked_text(name: str, text: str) -> str:
    """Return the text of the header called `name`; empty when the client sent none.

    Raises:
        BadRequestError: It is too long to be taken seriously.
    """
    if len(text) > MAX_CHARACTERS:
        raise BadRequestError(
            f"The header `{name}` has {len(text)} characters, expected at most {MAX_CHARACTERS}.",
            reason="invalid-header",
            param=name,
        )
    return text


def deadline_seconds(text: str) -> float | None:
    """Return the deadline in seconds; None when the client set none.

    Raises:
        BadRequestError: It is no whole number of milliseconds above 0.
    """
    if not text:
        return None
    if not text.isdecimal() or len(text) > _LONGEST_DEADLINE or int(text) == 0:
        raise BadRequestError(
            f"The header `{names.DEADLINE}` must be a whole number of milliseconds above 0, got {text[:40]!r}.",
            reason="invalid-header",
            param=names.DEADLINE,
        )
    return int(text) / 1000
