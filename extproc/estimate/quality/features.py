"""What of a prompt tells how hard it is: its length, its mix of characters, its words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from extproc.facts.grams import hash_grams
from extproc.facts.request import RequestFacts
from extproc.facts.text import Category, TextProfile

NUMBERS: Final = (
    "log2_bytes",
    "log2_bytes_beyond_32k",
    "english",
    "other_latin",
    "capitals",
    "digits",
    "symbols",
    "blank",
    "unspaced_scripts",
    "other_scripts",
    "log2_messages",
    "tools",
    "images",
)
"""Names of the numbers that describe a prompt, in order; those without a unit are shares of the bytes, or 0 and 1."""

LONG_BYTES: Final = 32_768
"""Bytes from which on length is counted again: about 8,000 tokens, where models begin to differ in what they keep."""

_SLOTS: Final = {
    Category.ENGLISH: 2,
    Category.LATIN: 3,
    Category.ACCENTED: 3,
    Category.CAPITALS: 4,
    Category.DIGITS: 5,
    Category.SYMBOLS: 6,
    Category.PUNCTUATION: 6,
    Category.BLANK: 7,
    Category.HAN: 8,
    Category.KANA: 8,
    Category.HANGUL: 8,
    Category.THAI: 8,
}
_OTHER_SCRIPTS: Final = 9


@dataclass(frozen=True, slots=True)
class PromptFeatures:
    """A prompt as the quality estimate sees it.

    Attributes:
        numbers: In the order of `NUMBERS`.
        grams: Its hashed words and pairs of words, as `facts.grams.hash_grams` gives them; empty when they are not
            known, or for a prompt without words.
    """

    numbers: tuple[float, ...]
    grams: bytes = b""


def featurize(facts: RequestFacts, parts: Sequence[str]) -> PromptFeatures:
    """Describe a request whose text parts are at hand; bounded in time for any size of prompt."""
    return describe(
        text=facts.text,
        grams=hash_grams(parts),
        messages=facts.messages,
        tools=facts.tools,
        images=facts.images,
    )


def describe(
    *, text: TextProfile, grams: bytes, messages: int = 1, tools: int = 0, images: int = 0
) -> PromptFeatures:
    """Describe a prompt by what was read off it when it was parsed."""
    numbers = [0.0] * len(NUMBERS)
    total = 0
    for category, size in text.bytes_by_category:
        numbers[_SLOTS.get(category, _OTHER_SCRIPTS)] += size
        total += size
    if total:
        for slot in range(2, _OTHER_SCRIPTS + 1):
            numbers[slot] /= total
    numbers[0] = math.log2(1 + total)
    numbers[1] = math.log2(total / LONG_BYTES) if total > LONG_BYTES else 0.0
    numbers[10] = math.log2(1 + messages)
    numbers[11] = 1.0 if tools else 0.0
    numbers[12] = 1.0 if images else 0.0
    return PromptFeatures(tuple(numbers), grams)
