"""Which words and pairs of words a prompt has, as hashed numbers: what tells a question about law from one about code.

A token is a run of letters, a run of digits (all digits count as one and the same), a single symbol, or a single
character of the scripts that write without spaces. The head and the tail of a long prompt are looked at: instructions
stand at the beginning, the question at the end. All of it is a fixed number of C-speed passes over at most
`HEAD_BYTES + TAIL_BYTES` bytes, whatever the size of the prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

GRAM_BITS: Final = 14
GRAMS: Final = 1 << GRAM_BITS
"""Numbers that words and pairs are hashed to."""

HEAD_BYTES: Final = 1_024
TAIL_BYTES: Final = 1_024
MOST_GRAMS: Final = 1_024
"""Most numbers that one prompt is described by; beyond, every k-th is kept."""

_MOST_PARTS: Final = 64
_WHOLE_BYTES: Final = HEAD_BYTES + TAIL_BYTES + 1

_SPACE, _LETTER, _DIGIT, _SYMBOL = 0, 1, 2, 3
_FIRST_OF_UNSPACED = 0xE3
"""UTF-8 lead bytes from here on begin Chinese, Japanese and Korean characters and emoji: each its own token."""


def _tables() -> tuple[bytes, bytes, bytes]:
    """Tables over bytes: folded (lower case, one digit), kind, and 1 where a token always starts."""
    folded, kinds, starts = bytearray(range(256)), bytearray(256), bytearray(256)
    for code in range(256):
        char = chr(code)
        if code >= 0x80 or char.isalpha():
            kinds[code] = _LETTER
        elif char.isdigit():
            kinds[code] = _DIGIT
            folded[code] = ord("0")
        elif code > 0x20:
            kinds[code] = _SYMBOL
            starts[code] = 1
        if code < 0x80:
            folded[code] = ord(char.lower()) if not char.isdigit() else ord("0")
        if code >= _FIRST_OF_UNSPACED:
            starts[code] = 1
    return bytes(folded), bytes(kinds), bytes(starts)


_FOLDED, _KINDS, _STARTS = _tables()

_RADIX: Final = 0x9E3779B1
_MASK: Final = 0xFFFFFFFF


def _powers(base: int) -> npt.NDArray[np.uint32]:
    powers = [1]
    for _ in range(_WHOLE_BYTES):
        powers.append(powers[-1] * base & _MASK)
    return np.array(powers, dtype=np.uint32)


_POWERS = _powers(_RADIX)
_INVERSES = _powers(pow(_RADIX, -1, 1 << 32))
_MIX = np.uint32(0x85EBCA6B)
_SECOND = np.uint32(0xC2B2AE35)
_FOLD_SHIFT = np.uint32(15)
_BUCKET_SHIFT = np.uint32(32 - GRAM_BITS)


def hash_grams(parts: Sequence[str]) -> bytes:
    """Hash the words and pairs of words of a prompt's text parts.

    The polynomial hash of a word is the difference of two prefix sums, times the inverse of the radix to the power of
    its position, all modulo 2**32 (Karp and Rabin 1987, without the loop).

    Returns:
        Distinct numbers below `GRAMS`, ascending, as little-endian 16-bit integers; empty for a prompt without words.
    """
    text = _sample(parts)
    if not text:
        return b""
    kinds = np.frombuffer(text.translate(_KINDS), dtype=np.uint8)
    begins = np.frombuffer(text.translate(_STARTS), dtype=np.bool_).copy()
    begins[0] = True
    begins[1:] |= kinds[1:] != kinds[:-1]
    # A token ends where the next one, or a space, begins.
    edges = np.flatnonzero(begins)
    words = kinds[edges] != _SPACE
    codes = np.frombuffer(text.translate(_FOLDED), dtype=np.uint8)
    sums = np.zeros(len(text) + 1, dtype=np.uint32)
    np.cumsum(codes * _POWERS[: len(text)], dtype=np.uint32, out=sums[1:])
    hashes = np.diff(sums[np.append(edges, len(text))]) * _INVERSES[edges]
    hashes = hashes[words]
    if not len(hashes):
        return b""
    pairs = hashes[:-1] * _SECOND + (hashes[1:] ^ (hashes[1:] >> _FOLD_SHIFT)) * _MIX
    mixed = np.concatenate((hashes, pairs))
    mixed = (mixed ^ (mixed >> _FOLD_SHIFT)) * _MIX
    buckets = ((mixed ^ (mixed >> _FOLD_SHIFT)) * _SECOND >> _BUCKET_SHIFT).astype("<u2")
    buckets.sort()
    keep = np.empty(len(buckets), dtype=np.bool_)
    keep[0] = True
    np.not_equal(buckets[1:], buckets[:-1], out=keep[1:])
    distinct = buckets[keep]
    if len(distinct) > MOST_GRAMS:
        distinct = distinct[:: -(-len(distinct) // MOST_GRAMS)]
    return bytes(distinct.tobytes())


def _sample(parts: Sequence[str]) -> bytes:
    """The text as UTF-8: whole when it is short, else its head and its tail."""
    head, is_whole = _gather(parts[:_MOST_PARTS], _WHOLE_BYTES)
    if is_whole and len(parts) <= _MOST_PARTS:
        return head
    tail, _ = _gather(
        [part[-TAIL_BYTES:] for part in parts[: -_MOST_PARTS - 1 : -1]], TAIL_BYTES, backwards=True
    )
    return head[:HEAD_BYTES] + b"\n" + tail[-TAIL_BYTES:]


def _gather(parts: Sequence[str], limit: int, *, backwards: bool = False) -> tuple[bytes, bool]:
    """Join parts until `limit` bytes are there; tells whether that was all."""
    found: list[str] = []
    size = 0
    for part in parts:
        found.append(part if len(part) <= limit else part[:limit])
        size += len(found[-1]) + 1
        if size > limit:
            break
    if backwards:
        found.reverse()
    joined = "\n".join(found)
    text = joined.encode() if joined.isascii() else joined.encode(errors="surrogatepass")
    return text[:limit] if not backwards else text, size <= limit and len(text) <= limit
