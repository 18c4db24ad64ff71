from __future__ import annotations

from pathlib import Path

import orjson
import pytest
from rich.console import Console

from extproc.fit import command
from extproc.fit.command import EvalOptions
from extproc.model_directory import load_model


@pytest.fixture
def console() -> Console:
    return Console(record=True, width=200, quiet=True)


def said(console: Console) -> str:
    return " ".join(console.export_text().split())


def options(folder: Path) -> EvalOptions:
    return EvalOptions(seed=0, samples=10, out=folder / "out", document=folder / "estimators.md", processes=1)


def test_fit_writes_a_model_directory(tmp_path: Path, console: Console) -> None:
    """The command makes a model from a table and says where it is and for whom."""
    rows = [{"prompt": f"question {index}", "correct": {"a": index % 2}} for index in range(40)]
    table = tmp_path / "outcomes.jsonl"
    table.write_bytes(b"\n".join(orjson.dumps(row) for row in rows))

    assert 0 == command.fit([str(table)], tmp_path / "model", 0, console)
    assert ("a",) == load_model(tmp_path / "model").names


def test_fit_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A table that is not there ends with status 1 and a sentence, not with a traceback."""
    assert 1 == command.fit(["absent.jsonl"], tmp_path, 0, Console(stderr=True, width=200))
    assert "absent.jsonl: neither" in " ".join(capsys.readouterr().err.split())


def test_eval_without_data_says_where_it_is_published(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Without the published outcomes nothing is written, and every set is named with its source."""
    monkeypatch.setenv("TTCA_DATA", str(tmp_path / "absent"))
    assert 1 == command.evaluate(options(tmp_path), Console(stderr=True, width=200))
    assert "https://github.com/TIGER-AI-Lab/MMLU-Pro" in capsys.readouterr().err
    assert not (tmp_path / "estimators.md").exists()


def test_eval_with_an_incomplete_folder_names_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The complaint of a trial in another process reaches the operator, and no document is touched."""
    (tmp_path / "data").mkdir()
    monkeypatch.setenv("TTCA_DATA", str(tmp_path / "data"))
    assert 1 == command.evaluate(options(tmp_path), Console(stderr=True, width=200))
    assert "is not there. It is made from" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "estimators.md").exists()
