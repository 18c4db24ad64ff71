from __future__ import annotations

import pytest

from extproc.estimate.quality.features import LONG_BYTES, NUMBERS, describe, featurize
from extproc.facts.grams import hash_grams
from extproc.facts.request import Api, RequestFacts
from extproc.facts.text import Category, TextProfile, profile_text


def test_a_request_is_described_by_its_facts_and_its_words() -> None:
    """Features from the facts and the text are those from what was read off the prompt."""
    parts = ["Solve x + 2 = 5.", "Explain."]
    facts = RequestFacts(api=Api.CHAT_COMPLETIONS, model="m", text=profile_text(parts), messages=2, tools=1)
    described = describe(text=facts.text, grams=hash_grams(parts), messages=2, tools=1)
    assert described == featurize(facts, parts)


def test_shares_add_up_to_one() -> None:
    """The shares of a mixed text's characters cover all of it."""
    mixed = describe(text=profile_text(["Über 12 Menschen, 函数 и слова  \U0001f600"]), grams=b"")
    first, last = NUMBERS.index("english"), NUMBERS.index("other_scripts")
    assert pytest.approx(1.0) == sum(mixed.numbers[first : last + 1])


def test_length_counts_twice_beyond_the_long_mark() -> None:
    """A prompt of four times the long mark has two doublings beyond it; a short one has none."""

    def beyond(size: int) -> float:
        profile = TextProfile(((Category.ENGLISH, size),))
        return describe(text=profile, grams=b"").numbers[NUMBERS.index("log2_bytes_beyond_32k")]

    assert (0.0, 2.0) == (beyond(LONG_BYTES // 2), beyond(4 * LONG_BYTES))


def test_a_prompt_without_text_is_described_too() -> None:
    """Token ids alone have neither length nor words, and no share is divided by zero."""
    nothing = describe(text=TextProfile(), grams=b"", images=2)
    assert {"log2_messages": 1.0, "images": 1.0} == {
        name: value for name, value in zip(NUMBERS, nothing.numbers, strict=True) if value
    }
