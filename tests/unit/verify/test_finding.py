from __future__ import annotations

import pytest

from extproc.verify.finding import MAX_EXCERPT_CHARS, passed, printable, rejected, undecided


@pytest.mark.parametrize(
    ("text", "shown"),
    [("plain", "plain"), ("a\n\r\t b", "a b"), ("naïve ☃", "na?ve ?"), ("a\x00\x7fb", "a??b"), ("", "")],
)
def test_only_header_characters_are_shown(text: str, shown: str) -> None:
    """White space becomes one space, everything outside printable ASCII a question mark."""
    assert shown == printable(text)


def test_long_texts_are_cut() -> None:
    """An excerpt says that it is one, and keeps its bound."""
    shown = printable("x" * 1000)

    assert MAX_EXCERPT_CHARS == len(shown)
    assert shown.endswith("...")


def test_only_a_rejection_rejects() -> None:
    """Passes and undecided checks speak against nothing."""
    assert [False, True, False] == [
        finding.is_rejection
        for finding in (passed("a"), rejected("a", "a.b", "c"), undecided("a", "a.b", "c"))
    ]


def test_details_are_bounded_and_printable() -> None:
    """A detail goes into a header as it is."""
    detail = rejected("a", "a.b", "é" * 10_000).detail

    assert len(detail) <= 200
    assert detail.isascii()
