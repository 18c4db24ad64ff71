from __future__ import annotations

from pathlib import Path

import pytest

from extproc.explain.examples import EXAMPLES
from extproc.explain.manual import explained, manual
from extproc.settings import Settings

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_every_example_gets_a_plan_in_100_columns(settings: Settings, number: int) -> None:
    """The page shows requests that are served, each in full."""
    text = explained(EXAMPLES[number], settings)

    assert "refused" not in text.split("Not weighed")[0]
    assert "What would change it" in text
    assert max(map(len, text.splitlines())) <= 100


def test_the_page_has_the_ten_requests_of_the_committed_one() -> None:
    """`make explain-docs` writes it again; figures move with the estimators, the requests do not."""
    committed = (ROOT / "docs" / "explain.md").read_text(encoding="utf-8")

    def headings(text: str) -> list[str]:
        return [line for line in text.splitlines() if line.startswith("## ")]

    assert 11 == len(headings(committed))
    assert headings(manual()) == headings(committed)
