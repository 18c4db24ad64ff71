from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.facts.grams import GRAMS, HEAD_BYTES, MOST_GRAMS, TAIL_BYTES, hash_grams


def numbers(*parts: str) -> set[int]:
    return set(np.frombuffer(hash_grams(parts), dtype="<u2").tolist())


def test_case_digits_and_spacing_do_not_matter() -> None:
    """Capitals, the value of digits and the width of gaps leave the grams as they are."""
    assert numbers("The cat has 12 lives!") == numbers("the  CAT\nhas 97 lives!")


def test_words_and_pairs_are_told_apart() -> None:
    """Three words make three grams and two pairs; another order keeps the words and changes the pairs."""
    forward, backward = numbers("alpha beta gamma"), numbers("gamma beta alpha")
    assert (5, 5, 3) == (len(forward), len(backward), len(forward & backward))


def test_a_word_hashes_the_same_wherever_it_stands() -> None:
    """A word keeps its number at any offset of the text."""
    alone = numbers("equilibrium")
    assert all(alone < numbers("x " * count + "equilibrium") for count in (1, 7, 300))


def test_characters_of_unspaced_scripts_are_words() -> None:
    """Each Chinese character is a token, so a text shares grams with its parts."""
    assert numbers("函数") < numbers("这个函数的输出")


def test_long_prompts_are_seen_at_their_head_and_tail() -> None:
    """What stands between the head and the tail of a long prompt does not count; what stands there does."""
    head, tail = "begin " * HEAD_BYTES, " finish" * TAIL_BYTES
    middle = "padding " * 10_000
    assert numbers(head + middle + tail) == numbers(head + middle.replace("padding", "stuffing") + tail)
    assert numbers("finish") < numbers(head + middle + tail)


def test_the_last_of_many_messages_counts() -> None:
    """Among a thousand messages the first and the last are seen."""
    parts = ["first", *("filler words here" for _ in range(1_000)), "concluding"]
    assert numbers("first") | numbers("concluding") < numbers(*parts)


@pytest.mark.parametrize("parts", [(), ("",), ("   \n\t",), ("", "")])
def test_a_prompt_without_words_has_no_grams(parts: tuple[str, ...]) -> None:
    """Nothing but blanks hashes to nothing."""
    assert b"" == hash_grams(parts)


@given(st.lists(st.text(), max_size=8))
def test_any_text_hashes_to_distinct_ascending_numbers(parts: list[str]) -> None:
    """Whatever the text, lone surrogates included, the numbers are in range, distinct, ascending and few."""
    found = np.frombuffer(hash_grams(parts), dtype="<u2").astype(int)
    assert (np.diff(found) > 0).all()
    assert len(found) <= MOST_GRAMS
    assert not len(found) or found.max() < GRAMS


def test_lone_surrogates_do_no_harm() -> None:
    """A lone surrogate, which JSON may carry, is just another character."""
    assert numbers("word") < numbers("word \ud800 more")
