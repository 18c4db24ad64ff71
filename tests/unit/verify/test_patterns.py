from __future__ import annotations

import pytest

from extproc.verify.patterns import MAX_PATTERN_CHARS, Pattern, PatternError, schema_pattern
from extproc.verify.work import WorkBudget, WorkExceededError


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        (r"\d{3}", "a 123 b", True),
        (r"^\d{3}$", "a 123 b", False),
        ("é+", "caféé", True),
        ("(?s)a.b", "a\nb", True),
    ],
)
def test_a_search_finds_anywhere(pattern: str, text: str, found: bool, work: WorkBudget) -> None:
    """Anchors are the pattern's own affair."""
    assert found is Pattern(pattern).search(text, work)


def test_a_full_match_takes_the_whole_text(work: WorkBudget) -> None:
    """A part of the text is not enough."""
    assert [True, False] == [Pattern("a+").fullmatch(text, work) for text in ("aaa", "aab")]


@pytest.mark.parametrize(
    "pattern", ["(", r"(a)\1", "(?=a)b", "a{2000}", "\ud800", "x" * (MAX_PATTERN_CHARS + 1)]
)
def test_what_cannot_be_matched_in_bounded_time_is_refused(pattern: str) -> None:
    """Malformed, backtracking and oversized patterns are errors with a reason."""
    with pytest.raises(PatternError, match=r"."):
        Pattern(pattern)


def test_a_large_program_is_refused() -> None:
    """A short pattern may stand for a large one."""
    with pytest.raises(PatternError, match="too large"):
        Pattern(r"(?:\pL{50}x?){20}")


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|a)*b", "(.*a){20}$", "(x+x+)+y"])
def test_catastrophic_patterns_take_a_bounded_number_of_steps(pattern: str) -> None:
    """What backtracks exponentially elsewhere is linear in the text here, and is priced so."""
    work = WorkBudget(1_000_000)
    compiled = Pattern(pattern)
    compiled.search("a" * 1_000 + "!", work)
    short = 1_000_000 - work.left
    compiled.search("a" * 10_000 + "!", work)
    long = 1_000_000 - work.left - short

    assert long <= 11 * short


def test_a_search_that_could_take_too_long_is_not_made() -> None:
    """The price is asked before the work is done."""
    with pytest.raises(WorkExceededError):
        Pattern("[ab]*a[ab]{900}c").search("ab" * 100_000, WorkBudget(100_000))


def test_lone_surrogates_are_searched(work: WorkBudget) -> None:
    """A text that has no UTF-8 form is still a text."""
    assert Pattern("b").search("\ud800b", work)


def test_escapes_of_json_schema_are_understood(work: WorkBudget) -> None:
    """A code point as ECMAScript writes it, and an escaped backslash before a `u`."""
    assert schema_pattern(r"^[\u4e00-\u9fff]+$").search("日本", work)
    assert schema_pattern(r"^\\u0041$").search("\\u0041", work)
