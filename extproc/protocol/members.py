"""Replacing and adding top-level members of a JSON body, every other byte left as the client wrote it."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from extproc.facts.json_body import read_object

_MAX_DEPTH: Final = 32
"""Nesting that one match walks over, below the top level. Schemas of tools rarely reach 20."""

_MAX_DUPLICATES: Final = 16
"""Most keys of one name that are replaced in place: two million would stall everyone else's requests."""

# All repeats are possessive (`*+`, `++`): a match is one pass over the bytes, without a way back.
_SPACE: Final = rb"[ \t\n\r]*+"
_STRING: Final = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'


def _value_pattern() -> bytes:
    """Build the pattern of a value; it trusts that the body is JSON, so brackets need no matching by kind."""
    inside = rb'(?:[^"\[\]{}]++|' + _STRING + rb")*+"
    for _ in range(_MAX_DEPTH - 1):
        inside = rb'(?:[^"\[\]{}]++|' + _STRING + rb"|[\[{]" + inside + rb"[\]}])*+"
    return rb"(?:" + _STRING + rb"|[\[{]" + inside + rb'[\]}]|[^"\[\]{}, \t\n\r]++)'


_VALUE: Final = _value_pattern()
_OPEN: Final = re.compile(rb"(?:\xef\xbb\xbf)?" + _SPACE + rb"\{" + _SPACE)
_CLOSE: Final = re.compile(rb"\}" + _SPACE + rb"\Z")
_ESCAPED_ASCII: Final = re.compile(rb"\\u00")


@dataclass(frozen=True, slots=True)
class _Patterns:
    """How a key of one name and what surrounds it are found.

    Attributes:
        plain_key: The key as nearly everyone writes it. For long prompts twice as fast as `bytes.count` and `in`,
            since quotes and backslashes are rare.
        member: The key, its value as group 1, and the comma after it.
        others: Members of other names.
    """

    plain_key: re.Pattern[bytes]
    member: re.Pattern[bytes]
    others: re.Pattern[bytes]


@functools.cache
def _patterns(name: str) -> _Patterns:
    key = b'"' + b"".join(_letter(letter) for letter in name) + b'"'
    pair = _SPACE + rb":" + _SPACE
    return _Patterns(
        plain_key=re.compile(b'"' + re.escape(name.encode()) + b'"'),
        member=re.compile(
            rb"(?<!\\)" + key + pair + rb"(" + _VALUE + rb")" + _SPACE + rb",?+" + _SPACE, re.DOTALL
        ),
        others=re.compile(
            rb"(?:(?!" + key + rb")" + _STRING + pair + _VALUE + _SPACE + rb",?+" + _SPACE + rb")*+",
            re.DOTALL,
        ),
    )


def _letter(letter: str) -> bytes:
    r"""Match a letter as it is or as an escape: `(?:m|\\u006[dD])`."""
    code = "".join(
        f"[{digit}{digit.upper()}]" if digit.isalpha() else digit for digit in f"{ord(letter):04x}"
    )
    return rf"(?:{re.escape(letter)}|\\u{code})".encode()


class _HostileShapeError(Exception):
    """The body is nested more deeply than the patterns walk, or repeats the key without end."""


def with_member(body: bytes, name: str, value: bytes) -> bytes:
    r"""Return the body with `value`, a JSON text, as the value of its top-level key `name`, wherever that key stands.

    All duplicates of the key are replaced; the key may be written with escapes (`"\u006dodel"`). Nested keys and
    text inside strings stay. The body must be JSON that `facts.parse` has accepted, in UTF-8, UTF-16 or UTF-32.

    When a member is nested more than 32 levels deep or there are more than 16 duplicates, the member is appended
    instead: to a reader that takes such a body at all, the last duplicate counts.

    Raises:
        ValueError: The body has no such key.
    """
    return _in_utf8(body, lambda text: _replace(text, name, value))


def with_member_added(body: bytes, name: str, value: bytes) -> bytes:
    """Return the body with one more member at its end: to readers, the last of several of one name counts.

    The body must be a JSON object with at least one member.
    """
    return _in_utf8(body, lambda text: _append(text, name, value))


def _in_utf8(body: bytes, edit: Callable[[bytes], bytes]) -> bytes:
    encoding = json.detect_encoding(body)
    if encoding.startswith("utf-8"):
        return edit(body)
    text = body.decode(encoding, "surrogatepass")
    edited = edit(text.encode("utf-8", "surrogatepass"))
    # With a byte order mark, the encoding is found without a byte order; the mark is written anew, and so
    # is the order, which is then this machine's.
    return edited.decode("utf-8", "surrogatepass").encode(encoding, "surrogatepass")


def _replace(body: bytes, name: str, value: bytes) -> bytes:
    try:
        spans = list(_spans(body, _patterns(name)))
    except _HostileShapeError:
        if name not in read_object(body):
            raise ValueError(f"the body has no top-level key `{name}`") from None
        return _append(body, name, value)
    if not spans:
        raise ValueError(f"the body has no top-level key `{name}`")
    view = memoryview(body)
    pieces: list[bytes | memoryview] = []
    done = 0
    for start, end in spans:
        pieces += (view[done:start], value)
        done = end
    pieces.append(view[done:])
    return b"".join(pieces)


def _append(body: bytes, name: str, value: bytes) -> bytes:
    brace = body.rindex(b"}")
    return b"".join((body[:brace], b',"%s":' % name.encode(), value, body[brace:]))


def _spans(body: bytes, patterns: _Patterns) -> Iterator[tuple[int, int]]:
    """Find the values of the top-level keys of one name.

    The walk over a long prompt takes longer than parsing it did. So when the key's plain bytes occur once, it
    starts at whichever end of the body is nearer to them, and stops there.
    """
    opening = _OPEN.match(body)
    if opening is None:
        return
    only = _only_key(body, patterns)
    if only > len(body) // 2 and (span := _from_the_end(body, only, patterns)):
        yield span
        return
    position = opening.end()
    for _ in range(_MAX_DUPLICATES + 1):
        position = _end(patterns.others.match(body, position), position)
        found = patterns.member.match(body, position)
        if found is None:
            break
        yield found.span(1)
        if only >= 0:
            return
        position = found.end()
    if _CLOSE.match(body, position) is None:
        raise _HostileShapeError


def _only_key(body: bytes, patterns: _Patterns) -> int:
    """Return where the key's plain bytes stand if they occur once and it cannot be spelled otherwise, else -1."""
    first = patterns.plain_key.search(body)
    if first is None or patterns.plain_key.search(body, first.end()) or _ESCAPED_ASCII.search(body):
        return -1
    return first.start()


def _from_the_end(body: bytes, key: int, patterns: _Patterns) -> tuple[int, int] | None:
    """Return the span of the value of the key at `key` if only members and the end of the body follow it.

    Then the object that the key belongs to is the one that the body's last brace closes: the top level.
    """
    found = patterns.member.match(body, key)
    if found is None:
        return None
    rest = _end(patterns.others.match(body, found.end()), found.end())
    return found.span(1) if _CLOSE.match(body, rest) else None


def _end(match: re.Match[bytes] | None, start: int) -> int:
    return start if match is None else match.end()
