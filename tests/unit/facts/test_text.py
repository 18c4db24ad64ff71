# ruff: noqa: RUF001 - other scripts are what is tested
from __future__ import annotations

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.facts.text import FULL_CHARS, Category, TextProfile, profile_text

ENGLISH = "The committee will meet in the old library, and the discussion of the new proposal starts in the morning. "
SWAHILI = (
    "Watu wote wamezaliwa huru, hadhi na haki zao ni sawa. Wote wamejaliwa akili na dhamiri kwa kila mtu. "
)
CHINESE = "人人生而自由在尊严和权利上一律平等他们赋有理性和良心"


def shares(text: str) -> dict[Category, float]:
    """Share of a text's bytes by category."""
    profile = profile_text([text])
    return {category: size / profile.total_bytes for category, size in profile.bytes_by_category}


def test_nothing_has_an_empty_profile() -> None:
    """No parts and empty parts have no bytes."""
    assert TextProfile() == profile_text([]) == profile_text(["", ""])


def test_english_counts_as_english() -> None:
    """Most of plain English lies in the category with the cheapest tokens."""
    assert shares(ENGLISH)[Category.ENGLISH] > 0.75


def test_another_latin_language_does_not_count_as_english() -> None:
    """An unaccented language is told from English by its letters alone."""
    assert shares(SWAHILI)[Category.LATIN] > 0.75


@pytest.mark.parametrize(
    ("text", "category"),
    [
        (CHINESE, Category.HAN),
        ("すべてのにんげんはうまれながらにしてじゆうである", Category.KANA),
        ("모든인간은태어날때부터자유로우며그존엄과권리에있어동등하다", Category.HANGUL),
        ("Все люди рождаются свободными и равными", Category.CYRILLIC),
        ("Ολοι οι ανθρωποι γεννιουνται ελευθεροι", Category.GREEK),
        ("يولد جميع الناس أحرارا متساوين", Category.ARABIC),
        ("सभी मनुष्यों को गौरव और अधिकारों के मामले में", Category.DEVANAGARI),
        ("সমস্ত মানুষ স্বাধীনভাবে সমান মর্যাদা", Category.INDIC),
        ("มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกัน", Category.THAI),
        ("ມະນຸດທຸກຄົນເກີດມາມີກຽດສັກສີ", Category.RARE),
        ("የሰው ልጅ ሁሉ ሲወለድ ነጻና", Category.RARE),
        ("😀🔥🚀", Category.EMOJI),
        ("   " * 40, Category.BLANK),
        ("0123456789" * 4, Category.DIGITS),
        ("{}[]();\n", Category.SYMBOLS),
        ("ABCDEF", Category.CAPITALS),
        ("éèüøñ", Category.ACCENTED),
        ("— “”…", Category.PUNCTUATION),
    ],
)
def test_each_script_has_its_category(text: str, category: Category) -> None:
    """The largest category of a text in one script is that script's."""
    assert category == profile_text([text]).bytes_by_category[0][0]


def test_code_below_a_chinese_instruction_keeps_both() -> None:
    """A prompt in two scripts yields the bytes of each, whether it comes in one part or in two."""
    code = "def area(width, height):\n    return width * height\n"
    apart = dict(profile_text([CHINESE, code]).bytes_by_category)
    together = dict(profile_text([CHINESE + "\n" + code]).bytes_by_category)
    assert len(CHINESE.encode()) == apart[Category.HAN] == together[Category.HAN]
    assert apart[Category.SYMBOLS] >= 7
    assert apart == together


def test_text_without_spaces_is_no_english() -> None:
    """Base64 is not mistaken for cheap English words."""
    noise = base64.b64encode(b"".join(hashlib.sha256(bytes([seed])).digest() for seed in range(40))).decode()
    assert Category.ENGLISH not in shares(noise)


def test_many_short_messages_sum_up_like_one_text() -> None:
    """Short parts are looked at together, with one byte for each seam."""
    profile = profile_text([ENGLISH] * 100)
    assert 100 * len(ENGLISH) <= profile.total_bytes <= 101 * len(ENGLISH)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=200), max_size=1))
def test_bytes_add_up_exactly(parts: list[str]) -> None:
    """Every UTF-8 byte of a part that is looked at whole lies in exactly one category."""
    profile = profile_text(parts)
    assert sum(len(part.encode()) for part in parts) == profile.total_bytes
    assert all(size > 0 for _, size in profile.bytes_by_category)
    sizes = [size for _, size in profile.bytes_by_category]
    assert sorted(sizes, reverse=True) == sizes


@given(st.lists(st.text(max_size=50), max_size=5))
def test_lone_surrogates_are_accepted(parts: list[str]) -> None:
    """Any string that JSON can carry has a profile, lone surrogates included."""
    assert profile_text([*parts, "\ud800"]).total_bytes >= 2


@pytest.mark.parametrize("unit", [ENGLISH, CHINESE, ENGLISH + CHINESE])
def test_long_texts_are_sampled_within_a_few_percent(unit: str) -> None:
    """A text too long to look at whole keeps its size and its proportions."""
    repeats = 20 * FULL_CHARS // len(unit)
    small = profile_text([unit])
    large = profile_text([unit * repeats])
    assert large.total_bytes == pytest.approx(repeats * small.total_bytes, rel=0.03)
    by_category = dict(large.bytes_by_category)
    for category, size in small.bytes_by_category[:2]:
        assert by_category[category] == pytest.approx(repeats * size, rel=0.2)


def test_a_language_that_starts_late_is_found() -> None:
    """Slices reach the end of a long text, not just its head."""
    profile = dict(profile_text([ENGLISH * 2000 + CHINESE * 2000]).bytes_by_category)
    assert profile[Category.HAN] == pytest.approx(2000 * len(CHINESE.encode()), rel=0.1)
