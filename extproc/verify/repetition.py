"""Does an answer run in circles? A loop at its end, or a text that is mostly the same passage again.

A loop does not stop by itself: it runs until a limit cuts it. So an answer that was cut is suspected sooner than one
that came to its end, which may well repeat itself on purpose: a table of zeros, a refrain, a word a hundred times.
Time is linear in the text, at the speed of string comparison; at most `WINDOW_CHARS` characters are looked at closely.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Final

import orjson

from extproc.facts.answer import Choice, FinishReason
from extproc.verify.finding import Finding, printable, rejected

CHECK: Final = "repetition"

WINDOW_CHARS: Final = 16_384
"""Characters at the end that are searched for a loop, and that are sampled for sameness."""

_NEEDLE_CHARS: Final = 48
"""A tail this long that occurred before gives a candidate for the loop's period."""
_CANDIDATES: Final = 8
"""Earlier occurrences of the tail that are tried: a passage may hold its own tail a few times."""

_MIN_SHINGLED_CHARS: Final = 2_048
_SHINGLE_CHARS: Final = 48
_MAX_DISTINCT_SHARE: Final = 0.1
"""Passages of 48 characters that are distinct, of all of them: one tenth is the same text ten times over. Songs with
their refrains have above 0.3, tables, generated code and lists of like records above 0.13."""
_MIN_PASSAGE_CHARS: Final = 32
"""A shorter passage that an ended answer repeats is data rather than speech: a label for each line of a list."""
_SCREEN_RATIO: Final = 8
"""A text that deflate does not shrink eightfold has no such sameness: ten times the same shrinks twentyfold."""


@dataclass(frozen=True, slots=True)
class RepetitionSpec:
    """How much sameness is a loop.

    A passage with four distinct letters and more is words; others are rules, padding, zeros: they repeat more often
    for a good reason.

    Attributes:
        min_repeats: Times that a passage must stand at the end, one after the other without a change.
        cut_words_chars: Least length of the loop in an answer that was cut, when the passage is words.
        cut_marks_chars: The same when it is not.
        ended_words_chars: Least length of the loop in an answer that came to its end, when the passage is words, and
            32 characters of them at least.
        ended_marks_chars: The same when it is not.
    """

    min_repeats: int = 6
    cut_words_chars: int = 384
    cut_marks_chars: int = 512
    ended_words_chars: int = 2_048
    ended_marks_chars: int = 8_192


@dataclass(frozen=True, slots=True)
class Loop:
    """A passage that repeats at the end of a text; lengths in characters."""

    period: int
    chars: int


def check_repetition(spec: RepetitionSpec, choice: Choice) -> Finding | None:
    """Reject a choice whose text, or a call's arguments, run in circles."""
    was_cut = choice.finish_reason in {FinishReason.LENGTH, FinishReason.CONTEXT_FULL}
    if choice.finish_reason is FinishReason.REPETITION:
        return rejected(CHECK, "repetition.reported", "the instance ended the answer for its repetition")
    texts = [choice.text or "", *(call.arguments or "" for call in choice.tool_calls)]
    for text in texts:
        finding = _check_text(spec, text, was_cut=was_cut)
        if finding is not None:
            return finding
    return None


def _check_text(spec: RepetitionSpec, text: str, *, was_cut: bool) -> Finding | None:
    finding = _find_sameness(spec, text, was_cut=was_cut)
    if finding is not None and not was_cut and _is_json(text):
        # Data that is whole repeats what it describes: two hundred times the same label.
        return None
    return finding


def _find_sameness(spec: RepetitionSpec, text: str, *, was_cut: bool) -> Finding | None:
    loop = find_tail_loop(text)
    if loop is not None and loop.chars >= spec.min_repeats * loop.period:
        words = _has_words(text[-loop.period :])
        if was_cut:
            least = spec.cut_words_chars if words else spec.cut_marks_chars
        else:
            is_speech = words and loop.period >= _MIN_PASSAGE_CHARS
            least = spec.ended_words_chars if is_speech else spec.ended_marks_chars
        if loop.chars >= least:
            detail = f"{loop.chars // loop.period} times at the end: {printable(text[-loop.period :], 60)}"
            return rejected(CHECK, "repetition.loop", detail)
    share = distinct_share(text)
    if share is not None and share <= _MAX_DISTINCT_SHARE and _has_words(text):
        return rejected(CHECK, "repetition.sameness", f"{share:.0%} of the passages are distinct")
    return None


def find_tail_loop(text: str) -> Loop | None:
    """Find the passage that repeats, without any change, up to the very end; None when none does.

    The last 48 characters are sought further up: the distance is a candidate for the period, and how far back the
    text equals itself at that distance is found by bisection, each step one comparison of slices.
    """
    tail = text[-WINDOW_CHARS:]
    size = len(tail)
    needle = tail[-_NEEDLE_CHARS:]
    best: Loop | None = None
    end = size - 1
    for _ in range(_CANDIDATES):
        start = tail.rfind(needle, 0, end)
        if start < 0:
            break
        period = size - len(needle) - start
        chars = period + _equal_suffix(tail, period)
        if best is None or chars > best.chars:
            best = Loop(period, chars)
        if chars >= 3 * period:
            break
        end = start + len(needle) - 1
    return best


def _equal_suffix(text: str, period: int) -> int:
    """Return the length of the longest suffix that equals what stands `period` characters before it."""
    size = len(text)
    low, high = 0, size - period
    while low < high:
        middle = (low + high + 1) // 2
        if text[size - middle :] == text[size - middle - period : size - period]:
            low = middle
        else:
            high = middle - 1
    return low


def distinct_share(text: str) -> float | None:
    """Return the share of 48-character passages that are distinct, None when the text is short or plainly varied.

    A long text is sampled at its beginning, middle and end; the lowest share of the three counts.
    """
    if len(text) < _MIN_SHINGLED_CHARS:
        return None
    lowest: float | None = None
    for window in _windows(text):
        encoded = window.encode(errors="replace")
        if len(encoded) < _SCREEN_RATIO * len(zlib.compress(encoded, 1)):
            continue
        count = len(window) - _SHINGLE_CHARS + 1
        distinct = len({window[start : start + _SHINGLE_CHARS] for start in range(count)})
        if distinct < 2 * _MIN_PASSAGE_CHARS:
            continue
        lowest = min(distinct / count, 1.0 if lowest is None else lowest)
    return lowest


def _windows(text: str) -> list[str]:
    if len(text) <= WINDOW_CHARS:
        return [text]
    part = WINDOW_CHARS // 3
    middle = (len(text) - part) // 2
    return [text[:part], text[middle : middle + part], text[-part:]]


def _is_json(text: str) -> bool:
    if not text.lstrip().startswith(("[", "{")):
        return False
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True


def _has_words(passage: str) -> bool:
    return len({char for char in passage[:4096].lower() if char.isalpha()}) >= 4
