"""pydantic's errors in the words of the fleet file: `got -1, expected an integer >= 1`."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from extproc.settings.document import Path
from extproc.settings.expectation import Expectation, expectation_at

_LONGEST_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Complaint:
    """A mistake at a place in the tree, not yet placed in the text.

    Attributes:
        path: The place.
        message: What stands there and what was expected.
        hint: What to do about it.
        other: A second place that the message speaks of, so that its line can be told; None when there is none.
    """

    path: Path
    message: str
    hint: str = ""
    other: Path | None = None


def complaints_of(error: ValidationError) -> list[Complaint]:
    """Translate every error that pydantic found."""
    details = error.errors(include_url=False)
    meant = _meant_keys(details)
    return [
        _complaint(detail)
        for detail in details
        # pydantic counts only the items that are well; when some are not, `too_short` is no mistake of its own.
        if not (detail["type"] == "too_short" and detail["input"])
        and not (detail["type"] == "missing" and _path(detail["loc"]) in meant)
    ]


def _meant_keys(details: list[ErrorDetails]) -> set[Path]:
    """Find the required keys that are there, but mistyped: the unknown key is the one mistake."""
    missing: dict[Path, list[str]] = {}
    for detail in details:
        if detail["type"] == "missing":
            *parent, key = _path(detail["loc"])
            missing.setdefault(tuple(parent), []).append(str(key))
    meant = set()
    for detail in details:
        if detail["type"] == "extra_forbidden":
            *parent, key = _path(detail["loc"])
            near = _nearest(str(key), missing.get(tuple(parent), ()))
            if near:
                meant.add((*parent, near))
    return meant


def shown(value: Any) -> str:  # noqa: ANN401 - whatever the file holds
    """Write a value for a message, cut to a readable length."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case dict():
            return "a mapping"
        case list():
            return "a list" if value else "an empty list"
        case _:
            text = repr(value)
            return text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 1] + "…"


def closest(word: str, known: Sequence[str]) -> str:
    """Ask `did you mean …?`; empty when nothing is near."""
    near = _nearest(word, known)
    return f"did you mean {near!r}?" if near else ""


def _nearest(word: str, known: Sequence[str]) -> str:
    return next(iter(difflib.get_close_matches(word, known, n=1, cutoff=0.6)), "")


def _complaint(detail: ErrorDetails) -> Complaint:
    path = _path(detail["loc"])
    kind = detail["type"]
    if kind == "extra_forbidden":
        return _unknown_key(path)
    expected = expectation_at(path) or Expectation("a valid value")
    meaning = expected.description
    if kind == "missing":
        if expected.keys:
            return Complaint(
                path, f"missing, expected {expected.words} with {', '.join(expected.keys)}", meaning
            )
        return Complaint(path, f"missing, expected {expected.words}", meaning)
    if path and path[0] == "version":
        return Complaint(
            path, f"got {shown(detail['input'])}, expected 1", "this program reads version 1 only"
        )
    if kind in ("model_type", "model_attributes_type", "dict_type") and detail["input"] is None:
        hint = "remove the key to take every default, or indent the section's keys below it"
        return Complaint(path, f"got nothing, expected {expected.words}", hint)
    reason = detail.get("ctx", {}).get("error")
    why = f" ({reason})" if kind == "value_error" and reason is not None else ""
    meant = closest(detail["input"], expected.choices) if isinstance(detail["input"], str) else ""
    return Complaint(
        path, f"got {shown(detail['input'])}{why}, expected {expected.words}", meant or expected.description
    )


def _path(location: tuple[int | str, ...]) -> Path:
    """Drop the steps that pydantic adds and the file does not have: `[key]` of a mapping's bad key."""
    return tuple(part for part in location if part != "[key]")


def _unknown_key(path: Path) -> Complaint:
    parent = expectation_at(path[:-1])
    known = parent.keys if parent is not None else ()
    key = str(path[-1])
    hint = closest(key, known) or ("known keys: " + ", ".join(known) if known else "")
    return Complaint(path, "unknown key", hint)
