"""W3C trace context: which trace a request belongs to, and whether anyone wants to see it.

Reads the `traceparent` header (https://www.w3.org/TR/trace-context/#traceparent-header); never makes sampling decisions.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}(?:-.*)?", re.ASCII
)
_FLAG_DIGIT_INDEX = 54
_SAMPLED_DIGITS = frozenset("13579bdf")


@dataclass(frozen=True, slots=True)
class TraceContext:
    """The span that a new span becomes a child of.

    Attributes:
        trace_id: 16 bytes, not all zero.
        span_id: 8 bytes, not all zero.
    """

    trace_id: bytes
    span_id: bytes


def is_sampled(traceparent: str) -> bool:
    """Say whether the header asks for spans, from the one digit that holds the flag.

    Meant to be asked first, of every request: a `True` still has to stand up to `sampled_parent`.
    """
    return len(traceparent) > _FLAG_DIGIT_INDEX and traceparent[_FLAG_DIGIT_INDEX] in _SAMPLED_DIGITS


def sampled_parent(traceparent: str) -> TraceContext | None:
    """Return the context to continue; None when the request is not sampled or the header is malformed."""
    if not is_sampled(traceparent):
        return None
    match = _TRACEPARENT.fullmatch(traceparent)
    if match is None:
        return None
    return TraceContext(bytes.fromhex(match[1]), bytes.fromhex(match[2]))
