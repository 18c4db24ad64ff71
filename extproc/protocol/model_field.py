"""Replacing the value of `model` in a body, every other byte left as the client wrote it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Final

import orjson

from extproc.facts.json_body import read_object

_MAX_DEPTH: Final = 32
"""Nesting that one match walks over, below the top level. Schemas of tools rarely reach 20."""

_MAX_DUPLICATES: Final = 16
"""Most `model` keys that are replaced in place: two million of them would stall everyone else's requests."""

# All repeats are possessive (`*+`, `++`): a match is one pass over the bytes, without a way back.
_SPACE: Final = rb"[ \t\n\r]*+"
_STRING: Final = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_KEY: Final = rb'"(?:m|\\u006[dD])(?:o|\\u006[fF])(?:d|\\u0064)(?:e|\\u0065)(?:l|\\u006[cC])"'


def _value_pattern() -> bytes:
    """Build the pattern of a value; it trusts that the body is JSON, so brackets need no matching by kind."""
    inside = rb'(?:[^"\[\]{}]++|' + _STRING + rb")*+"
    for _ in range(_MAX_DEPTH - 1):
        inside = rb'(?:[^"\[\]{}]++|' + _STRING + rb"|[\[{]" + inside + rb"[\]}])*+"
    return rb"(?:" + _STRING + rb"|[\[{]" + inside + rb'[\]}]|[^"\[\]{}, \t\n\r]++)'


_VALUE: Final = _value_pattern()
_OPEN: Final = re.compile(rb"(?:\xef\xbb\xbf)?" + _SPACE + rb"\{" + _SPACE)
_OTHER_MEMBERS: Final = re.compile(
    rb"(?:(?!"
    + _KEY
    + rb")"
    + _STRING
    + _SPACE
    + rb":"
    + _SPACE
    + _VALUE
    + _SPACE
    + rb",?+"
    + _SPACE
    + rb")*+",
    re.DOTALL,
)
_MODEL_MEMBER: Final = re.compile(
    rb"(?<!\\)" + _KEY + _SPACE + rb":" + _SPACE + rb"(" + _VALUE + rb")" + _SPACE + rb",?+" + _SPACE,
    re.DOTALL,
)
# For long prompts twice as fast as `bytes.count` and `in`, since quotes and backslashes are rare.
_PLAIN_KEY: Final = re.compile(rb'"model"')
_ESCAPED_ASCII: Final = re.compile(rb"\\u00")
_CLOSE: Final = re.compile(rb"\}" + _SPACE + rb"\Z")


class _HostileShapeError(Exception):
    """The body is nested more deeply than the patterns walk, or repeats its model without end."""


def with_model(body: bytes, model: str) -> bytes:
    r"""Return the body with `model` as the value of its top-level key `"model"`, wherever that key stands.

    All duplicates of the key are replaced; the key may be written with escapes (`"\u006dodel"`). Nested keys and
    text inside strings stay. The body must be JSON that `facts.parse` has accepted, in UTF-8, UTF-16 or UTF-32.

    When a member is nested more than 32 levels deep or there are more than 16 duplicates, the model is appended
    as the last member instead: to a reader that takes such a body at all, the last duplicate counts.

    Raises:
        ValueError: The body has no top-level `model`.
    """
    encoding = json.detect_encoding(body)
    if not encoding.startswith("utf-8"):
        text = body.decode(encoding, "surrogatepass")
        rewritten = with_model(text.encode("utf-8", "surrogatepass"), model)
        # With a byte order mark, the encoding is found without a byte order; the mark is written anew, and so
        # is the order, which is then this machine's.
        return rewritten.decode("utf-8", "surrogatepass").encode(encoding, "surrogatepass")
    value = orjson.dumps(model)
    try:
        spans = list(_model_spans(body))
    except _HostileShapeError:
        return _append_member(body, value)
    if not spans:
        raise ValueError("the body has no top-level key `model`")
    view = memoryview(body)
    pieces: list[bytes | memoryview] = []
    done = 0
    for start, end in spans:
        pieces += (view[done:start], value)
        done = end
    pieces.append(view[done:])
    return b"".join(pieces)


def _model_spans(body: bytes) -> Iterator[tuple[int, int]]:
    """Find the values of the top-level `model` keys.

    The walk over a long prompt takes longer than parsing it did. So when the bytes `"model"` occur once, it
    starts at whichever end of the body is nearer to them, and stops there.
    """
    opening = _OPEN.match(body)
    if opening is None:
        return
    only = _only_key(body)
    if only > len(body) // 2 and (span := _from_the_end(body, only)):
        yield span
        return
    position = opening.end()
    for _ in range(_MAX_DUPLICATES + 1):
        position = _end(_OTHER_MEMBERS.match(body, position), position)
        found = _MODEL_MEMBER.match(body, position)
        if found is None:
            break
        yield found.span(1)
        if only >= 0:
            return
        position = found.end()
    if _CLOSE.match(body, position) is None:
        raise _HostileShapeError


def _only_key(body: bytes) -> int:
    """Return where the bytes `"model"` stand if they occur once and no key can be spelled otherwise, else -1."""
    first = _PLAIN_KEY.search(body)
    if first is None or _PLAIN_KEY.search(body, first.end()) or _ESCAPED_ASCII.search(body):
        return -1
    return first.start()


def _from_the_end(body: bytes, key: int) -> tuple[int, int] | None:
    """Return the span of the value of the key at `key` if only members and the end of the body follow it.

    Then the object that the key belongs to is the one that the body's last brace closes: the top level.
    """
    found = _MODEL_MEMBER.match(body, key)
    if found is None:
        return None
    rest = _end(_OTHER_MEMBERS.match(body, found.end()), found.end())
    return found.span(1) if _CLOSE.match(body, rest) else None


def _end(match: re.Match[bytes] | None, start: int) -> int:
    return start if match is None else match.end()


def _append_member(body: bytes, value: bytes) -> bytes:
    if "model" not in read_object(body):
        raise ValueError("the body has no top-level key `model`")
    brace = body.rindex(b"}")
    return b"".join((body[:brace], b',"model":', value, body[brace:]))
