"""Running studies: in order, each on its own, with failures listed."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from rich.console import Console

from loadgen.reproduce import catalog, command
from loadgen.reproduce.catalog import STUDIES, choose
from loadgen.reproduce.command import ReproduceOptions, reproduce
from loadgen.reproduce.findings import StudyReport
from loadgen.reproduce.run import RunOptions, run_studies
from loadgen.reproduce.study import Study, StudyContext


def square(number: int) -> int:
    if number < 0:
        raise ValueError(f"{number} is negative")
    return number * number


@dataclass(frozen=True)
class Squares:
    """A study that squares numbers in the pool."""

    key: str
    numbers: tuple[int, ...]
    title: str = "Squares"

    def run(self, context: StudyContext) -> StudyReport:
        squares = context.run_all(square, self.numbers)
        return StudyReport(
            key=self.key,
            title=self.title,
            setting=f"{squares}, seed {context.seed}, {'quick' if context.is_quick else 'full'}",
            findings=(),
        )


def quiet() -> Console:
    return Console(file=io.StringIO())


OPTIONS = RunOptions(seed=3, is_quick=True, processes=1, data=None)


def test_results_stand_in_the_order_of_the_tasks() -> None:
    """A study gets its results in the order in which it gave its tasks, and its context as asked for."""
    found = run_studies([Squares("a", (3, 1, 2))], OPTIONS, quiet())
    assert ["[9, 1, 4], seed 3, quick"] == [report.setting for report in found.reports]
    assert found.reports[0].seconds > 0


def test_a_study_that_fails_does_not_lose_the_others() -> None:
    """What one study raises is listed, and the others are reported."""
    console = quiet()
    found = run_studies([Squares("a", (2, -1)), Squares("b", (2,))], OPTIONS, console)
    assert ["b"] == [report.key for report in found.reports]
    assert [("a", "ValueError: -1 is negative")] == [(one.key, one.error) for one in found.failed]


def test_studies_are_chosen_by_key_in_their_order() -> None:
    """Keys choose; none chooses all; an unknown one is refused with the names there are."""
    studies = [Squares("a", ()), Squares("b", ()), Squares("c", ())]
    assert ["a", "c"] == [study.key for study in choose(["c", "a"], studies)]
    assert 3 == len(choose([], studies))
    with pytest.raises(ValueError, match="no study is called 'x'; there are a, b, c"):
        choose(["x"], studies)


def test_registered_studies_have_distinct_keys() -> None:
    """No two studies of the catalog share a key."""
    assert len(STUDIES) == len({study.key for study in STUDIES})


def test_command_writes_page_summary_and_document(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One run writes all three files, and says where the data is published when it is not here."""
    studies: tuple[Study, ...] = (Squares("a", (2,)), Squares("b", (-1,)))
    monkeypatch.setattr(command, "choose", lambda keys: catalog.choose(keys, studies))
    monkeypatch.setattr(command, "data_folder", lambda environ: None)
    console = quiet()
    options = ReproduceOptions(
        studies=(), is_quick=True, seed=3, processes=1, out=tmp_path / "out", doc=tmp_path / "doc.md"
    )
    reproduce(options, {}, console)
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert ["a"] == [study["key"] for study in summary["studies"]]
    assert ["b"] == [study["key"] for study in summary["failed"]]
    assert "[4], seed 3, quick" in (tmp_path / "out" / "report.html").read_text()
    assert "WildEval/ZeroEval" in (tmp_path / "doc.md").read_text()
    assert isinstance(console.file, io.StringIO)
    assert "WildEval/ZeroEval" in console.file.getvalue()
