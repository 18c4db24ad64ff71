"""The checks behind the expectation header."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Final

import orjson

from extproc.facts.answer import Choice
from extproc.verify.expectation import MAX_QUOTED, Expectation, ExpectationKind
from extproc.verify.finding import Finding, passed, printable, rejected, undecided
from extproc.verify.patterns import Pattern
from extproc.verify.work import WorkBudget

MIN_SPAN_CHARS: Final = 8
"""Shortest quoted span that is looked up: a shorter one may be a word in quotation marks, or an inch."""

_CHARS_PER_STEP: Final = 1_000
"""Characters of a prompt that are searched or normalised in two microseconds."""

# A straight mark behind a digit is an inch.
_QUOTES: Final = re.compile(
    '(?<![0-9])"([^"]*)"|“([^“”]*)”|„([^„“”]*)[“”]|«([^«»]*)»|»([^«»]*)«|「([^「」]*)」|『([^『』]*)』'
)
_ELLIPSIS: Final = re.compile(r"\[?(?:…|\.\.\.)\]?")
_EDGES: Final = " .,;:!?"
_LIKE: Final = (("'", "‘’‚‛`´"), ("-", "‐‑‒–—−"), ("", "\u00ad"))  # noqa: RUF001  they are meant
_FENCE: Final = re.compile(r"\A\s*```[\w-]*\n(.*)\n```\s*\Z", re.DOTALL)


def check_expectation(
    expectation: Expectation, choice: Choice, prompt: Sequence[str] | None, work: WorkBudget
) -> Finding:
    """Hold one choice against the expectation; undecided for a choice that only calls tools.

    `prompt` is needed for quoted spans alone; None says that it is not known.

    Raises:
        WorkExceededError: The check would take more steps than are left.
    """
    check = f"expectation.{expectation.kind}"
    text = choice.text
    if text is None:
        return undecided(check, "expectation.no-text", "the answer has no text to hold against it")
    match expectation.kind:
        case ExpectationKind.EXACT:
            is_met = text.strip() == expectation.argument.strip()
        case ExpectationKind.CONTAINS:
            is_met = expectation.argument in text
        case ExpectationKind.REGEX:
            is_met = Pattern(expectation.argument).search(text, work)
        case ExpectationKind.JSON_POINTER:
            is_met = _holds_value(text, expectation.argument)
        case ExpectationKind.QUOTED:
            return _check_quoted(check, int(expectation.argument), text, prompt, work)
    if is_met:
        return passed(check)
    return rejected(check, f"expectation.{expectation.kind}", f"not met by: {printable(text)}")


def _check_quoted(
    check: str, least: int, text: str, prompt: Sequence[str] | None, work: WorkBudget
) -> Finding:
    if prompt is None:
        return undecided(check, "expectation.no-prompt", "the prompt is not known")
    spans = list(quoted_spans(text))[:MAX_QUOTED]
    if len(spans) < least:
        return rejected(check, "expectation.quoted-missing", f"{len(spans)} quoted spans, expected {least}")
    if not spans:
        return passed(check, "nothing quoted")
    size = sum(map(len, prompt))
    work.charge(size * (10 + len(spans)) // _CHARS_PER_STEP)
    source = _normalise("\n".join(prompt))
    for span in spans:
        if span not in source:
            return rejected(check, "expectation.quoted", f"not in the prompt: {printable(span)}")
    return passed(check, f"{len(spans)} spans")


def quoted_spans(text: str) -> Iterator[str]:
    """Yield the normalised spans between quotation marks that are long enough; an ellipsis ends one and begins another."""
    for match in _QUOTES.finditer(text):
        for part in _ELLIPSIS.split(match.group(match.lastindex or 0)):
            span = _normalise(part).strip(_EDGES)
            if len(span) >= MIN_SPAN_CHARS:
                yield span


def _normalise(text: str) -> str:
    """Make texts comparable that differ in case, white space, typographic quotes, dashes and ligatures."""
    plain = text
    if not text.isascii():
        plain = unicodedata.normalize("NFKC", text)
        # One fast pass per character: `translate` takes one slow pass for all.
        for like, characters in _LIKE:
            for character in characters:
                plain = plain.replace(character, like)
    return " ".join(plain.replace("`", "'").casefold().split())


def _holds_value(text: str, argument: str) -> bool:
    """Tell whether a JSON answer, fenced as a code block or not, holds a value at a pointer."""
    pointer, _, wanted = argument.partition("=")
    fenced = _FENCE.match(text)
    try:
        value: object = orjson.loads(fenced.group(1) if fenced else text)
    except orjson.JSONDecodeError:
        return False
    for token in pointer.split("/")[1:]:
        name = token.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict) and name in value:
            value = value[name]
        elif isinstance(value, list) and name.isascii() and name.isdigit() and int(name[:9]) < len(value):
            value = value[int(name[:9])]
        else:
            return False
    return _equals(value, wanted)


def _equals(value: object, wanted: str) -> bool:
    """Compare with a JSON value, or with the text itself when it is none: `=Paris` needs no quotation marks."""
    try:
        expected: object = orjson.loads(wanted)
    except orjson.JSONDecodeError:
        expected = wanted
    try:
        # Python's true is 1; JSON's is not.
        return value == expected and isinstance(value, bool) is isinstance(expected, bool)
    except RecursionError:
        return False
