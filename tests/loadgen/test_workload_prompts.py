from __future__ import annotations

import json
from collections import Counter

import pytest

from loadgen.workload.prompts import BYTES_PER_TOKEN, MIXES, OTHER, TextSource, draw_kind


@pytest.fixture(scope="module")
def source() -> TextSource:
    """Text of one seed."""
    return TextSource(1)


@pytest.mark.parametrize("kind", BYTES_PER_TOKEN)
@pytest.mark.parametrize("tokens", [20, 1000, 60_000])
def test_text_has_the_wanted_size(source: TextSource, kind: str, tokens: int) -> None:
    """The UTF-8 size of a text is its tokens times the bytes per token of its kind, also beyond one corpus."""
    size = len(source.text(kind, tokens, "key").encode())

    assert tokens * BYTES_PER_TOKEN[kind] == pytest.approx(size, rel=0.35 if tokens == 20 else 0.03)


def test_equal_keys_give_equal_text_and_others_do_not(source: TextSource) -> None:
    """Text depends on seed, kind, size and key alone, and a longer text begins with the shorter one."""
    text = source.text("prose", 100, "a")

    assert text == TextSource(1).text("prose", 100, "a")
    assert source.text("prose", 200, "a").startswith(text)
    assert text != source.text("prose", 100, "b")
    assert text != TextSource(2).text("prose", 100, "a")


def test_json_text_is_made_of_json_objects(source: TextSource) -> None:
    """The JSON corpus, closed as a list, is JSON."""
    text = source.text("json", 5000, "key")
    whole = text[: text.rindex("},\n") + 1]

    assert len(json.loads(f"[{whole}]")) > 10


@pytest.mark.parametrize(
    ("kind", "first", "last"),
    [("zh", "\u4e00", "\u9fff"), ("greek", "\u0370", "\u03ff"), ("ukrainian", "\u0400", "\u04ff"),
     ("hindi", "\u0900", "\u097f"), ("korean", "\uac00", "\ud7af"), ("thai", "\u0e00", "\u0e7f")],
)  # fmt: skip
def test_each_script_is_itself(source: TextSource, kind: str, first: str, last: str) -> None:
    """Most characters, spaces and digits apart, belong to the kind's script."""
    letters = [
        letter for letter in source.text(kind, 500, "key") if not letter.isspace() and not letter.isdigit()
    ]

    assert sum(first <= letter <= last for letter in letters) > 0.8 * len(letters)


def test_an_unknown_kind_is_refused(source: TextSource) -> None:
    """The error lists the known kinds."""
    with pytest.raises(ValueError, match="prose"):
        source.text("klingon", 10, "key")


@pytest.mark.parametrize("name", MIXES)
def test_kinds_are_drawn_in_their_shares(name: str) -> None:
    """Over many conversations each kind has its declared share; `other` is divided among its languages."""
    drawn = Counter(draw_kind(MIXES[name], str(key)) for key in range(8000))

    for kind, share in MIXES[name]:
        count = sum(drawn[language] for language in OTHER) if kind == "other" else drawn[kind]
        assert share == pytest.approx(count / 8000, abs=0.02)


def test_a_mix_that_does_not_sum_to_one_is_refused() -> None:
    """Shares must be non-negative and sum to 1."""
    with pytest.raises(ValueError, match="sum to 1"):
        draw_kind((("prose", 0.5),), "key")
