from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.vllm.tokenizer import count_tokens

ENGLISH = "All human beings are born free and equal in dignity and rights. " * 20
PYTHON = "def total(values: list[int]) -> int:\n    return sum(value * 2 for value in values)\n" * 20
CHINESE = "人人生而自由在尊严和权利上一律平等。" * 20


@pytest.mark.parametrize(
    ("text", "least", "most"), [(ENGLISH, 4.2, 5.2), (PYTHON, 3.3, 4.6), (CHINESE, 2.3, 4.5)]
)
def test_bytes_per_token_are_those_of_the_kind(text: str, least: float, most: float) -> None:
    """English, code and Chinese differ in bytes per token as with a real vocabulary."""
    assert least <= len(text.encode()) / count_tokens(text) <= most


@given(st.text(min_size=1))
def test_any_text_has_a_token(text: str) -> None:
    """Nothing but the empty text has none, whatever code points it holds."""
    assert count_tokens(text) >= 1


def test_the_empty_text_has_none() -> None:
    """No text, no tokens."""
    assert count_tokens("") == 0


def test_a_lone_surrogate_is_counted() -> None:
    """A text that cannot be encoded is no reason to fail."""
    assert count_tokens("\ud800") == 1
