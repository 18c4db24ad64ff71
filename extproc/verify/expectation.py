"""What a client expects of the answer, by a header: a small grammar of `kind:argument`.

    exact:<text>                  the answer is the text, white space around it aside
    contains:<text>               the answer contains the text
    regex:<pattern>               RE2 finds the pattern in the answer
    quoted or quoted:<count>      at least so many quoted spans (default 1), each of which occurs in the prompt
    json-pointer:<pointer>=<json> the answer is JSON, and holds the value at the pointer (RFC 6901)

The argument is percent-encoded UTF-8; `%` itself is `%25`, and characters outside printable ASCII must be encoded.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from extproc.errors import BadRequestError
from extproc.verify.patterns import Pattern, PatternError

HEADER: Final = "x-ttca-expect"

MAX_HEADER_CHARS: Final = 4_096
MAX_QUOTED: Final = 32
"""Most quoted spans of an answer that are looked up; each lookup is one pass over the prompt."""

_BAD_PERCENT: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_BAD_TILDE: Final = re.compile(r"~(?![01])")


class ExpectationKind(StrEnum):
    """The words of the grammar."""

    EXACT = "exact"
    CONTAINS = "contains"
    REGEX = "regex"
    QUOTED = "quoted"
    JSON_POINTER = "json-pointer"


@dataclass(frozen=True, slots=True)
class Expectation:
    """One expectation, parsed and found sound.

    Attributes:
        kind: Which check.
        argument: Text, pattern, count of spans, or `pointer=value`, decoded.
    """

    kind: ExpectationKind
    argument: str

    @property
    def header(self) -> str:
        """The header's text, of which `parse_expectation` makes this expectation again."""
        return f"{self.kind}:{quote(self.argument, safe=_PLAIN)}"


_PLAIN: Final = "!\"#$&'()*+,-./:;<=>?@[\\]^_`{|}~"


def parse_expectation(header: str) -> Expectation:
    """Parse the header's text.

    Raises:
        BadRequestError: It is not in the grammar (`invalid-expectation`).
    """
    if len(header) > MAX_HEADER_CHARS:
        raise _refuse(f"has {len(header)} characters, expected at most {MAX_HEADER_CHARS}")
    word, colon, encoded = header.strip().partition(":")
    try:
        kind = ExpectationKind(word.strip().lower())
    except ValueError:
        known = ", ".join(ExpectationKind)
        raise _refuse(f"begins with {word[:40]!r}, expected one of {known}") from None
    if not colon and kind is not ExpectationKind.QUOTED:
        raise _refuse(f"`{kind}` needs an argument: `{kind}:…`")
    argument = _decode(encoded)
    if kind is ExpectationKind.QUOTED:
        return Expectation(kind, _read_count(argument))
    if not argument.strip():
        raise _refuse(f"`{kind}` needs an argument that is not empty")
    if kind is ExpectationKind.REGEX:
        try:
            Pattern(argument)
        except PatternError as error:
            raise _refuse(f"holds no regular expression of RE2: {error}") from None
    if kind is ExpectationKind.JSON_POINTER:
        _check_pointer(argument)
    return Expectation(kind, argument)


def _decode(encoded: str) -> str:
    if _BAD_PERCENT.search(encoded):
        raise _refuse("holds a `%` that no two hexadecimal digits follow; a plain `%` is written `%25`")
    try:
        return unquote_to_bytes(encoded).decode()
    except (UnicodeDecodeError, UnicodeEncodeError):
        raise _refuse("is not percent-encoded UTF-8") from None


def _read_count(argument: str) -> str:
    text = argument.strip() or "1"
    if not (text.isascii() and text.isdigit() and int(text[:9]) <= MAX_QUOTED):
        raise _refuse(f"`quoted` takes a number of spans from 0 to {MAX_QUOTED}")
    return str(int(text))


def _check_pointer(argument: str) -> None:
    pointer, equals, _ = argument.partition("=")
    if not equals:
        raise _refuse("`json-pointer` needs a value: `json-pointer:/a/b=1`")
    if (pointer and not pointer.startswith("/")) or _BAD_TILDE.search(pointer):
        raise _refuse("`json-pointer` needs a pointer of RFC 6901, such as `/a/b`")


def _refuse(problem: str) -> BadRequestError:
    return BadRequestError(f"The header `{HEADER}` {problem}.", reason="invalid-expectation", param=HEADER)
