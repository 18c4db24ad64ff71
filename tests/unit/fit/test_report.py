from __future__ import annotations

from typing import Any

import pytest

from extproc.fit.data_sets import by_data_set
from extproc.fit.report import BEGIN, END, place, render
from extproc.fit.trials import ESTIMATORS, OURS


def test_a_section_starts_a_document() -> None:
    """An empty document gets a title and the marked section."""
    assert f"# Estimators\n\n{BEGIN}\ntext\n{END}\n" == place("text", "")


def test_a_section_replaces_only_itself() -> None:
    """What stands before and after the marks stays."""
    document = place("old", "# Title\n\nbefore\n") + "\n## After\n"
    replaced = place("new", document)
    assert document.replace("old", "new").split() == replaced.split()
    assert replaced == place("new", replaced)


def test_a_section_joins_a_document_that_has_none() -> None:
    """Other sections are kept, and the new one is appended."""
    placed = place("text", "# Title\n\nother section\n")
    assert placed.startswith("# Title\n\nother section\n\n" + BEGIN)


def judged(value: dict[str, float]) -> dict[str, Any]:
    """What `judge` would say of a trial with these routing values."""
    figure = {"value": 0.0, "low": -0.01, "high": 0.01}
    row = {"log_loss": figure, "brier": figure, "auc": 0.5, "ece": 0.0}
    row |= {
        "joint_independent": figure,
        "joint_coupled": figure,
        "area": 0.5,
        "over_uniform": 0.0,
        "at_best": 0.0,
    }
    return {
        "fleet": "two sizes",
        "data": "sums",
        "questions": 10,
        "models": 2,
        "estimators": {
            name: row
            | {"value": {**figure, "value": value.get(name, 0.0)}}
            | {"ahead": {**figure, "value": value.get(OURS, 0.0) - value.get(name, 0.0)}}
            for name in ESTIMATORS
        },
        "best_rival": "words, linear",
        "value_draws": {name: [value.get(name, 0.0)] * 3 for name in ESTIMATORS},
        "by_part": {},
    }


@pytest.mark.parametrize(("ours", "again", "found", "mean"), [(0.01, 0.0, 1, 0), (0.001, 0.02, 0, 1)])
def test_sets_are_counted_on_the_shown_split_and_on_all(
    ours: float, again: float, found: int, mean: int
) -> None:
    """A set that is won on one way to part the questions and lost on the mean of all is counted once only."""
    inside = [judged({OURS: ours, "words, linear": 0.006})]
    result = {
        "seed": 0, "samples": 2, "processes": 1, "seconds": 1.0,
        "inside": inside, "inside_ahead": {}, "inside_ahead_of_best": {"best of each": {"value": 0.0, "low": 0.0, "high": 0.0}},
        "by_data_set": by_data_set(inside, [[judged({OURS: again, "words, linear": 0.006})]]),
        "across": [judged({}) | {"by_part": {"history": {name: {"value": 0.0, "over_uniform": 0.0} for name in ESTIMATORS}}}],
        "across_mean": dict.fromkeys(ESTIMATORS, 0.0), "calibration": {}, "lengths": [], "timing": {},
    }  # fmt: skip
    text = render(result)

    assert f"| sums | 1 | +0.00 | +0.00 | +0.00 | +0.60 | +0.00 | {100 * ours:+.2f} |" in text
    assert (
        f"single baseline on **{found} of 1 sets**, and at or above the best of each set on {found}." in text
    )
    assert f"all ways to part the questions: {mean} and {mean}." in text
