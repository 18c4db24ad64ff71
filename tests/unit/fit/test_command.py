from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from extproc.fit import command
from extproc.model_directory import load_model


def test_fit_writes_a_model_directory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command makes a model from a table and says where it is."""
    rows = [{"prompt": f"question {index}", "correct": {"a": index % 2}} for index in range(40)]
    table = tmp_path / "outcomes.jsonl"
    table.write_bytes(b"\n".join(orjson.dumps(row) for row in rows))
    assert 0 == command.run(["fit", str(table), "--out", str(tmp_path / "model")])
    assert ("a",) == load_model(tmp_path / "model").names
    assert "Wrote" in capsys.readouterr().err


def test_fit_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A table that is not there ends with status 1 and a sentence, not with a traceback."""
    assert 1 == command.run(["fit", "absent.jsonl", "--out", str(tmp_path)])
    assert "absent.jsonl: neither" in " ".join(capsys.readouterr().err.split())


def test_eval_without_data_says_where_it_is_published(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Without the published outcomes nothing is written, and every set is named with its source."""
    monkeypatch.setenv("TTCA_DATA", str(tmp_path / "absent"))
    document = tmp_path / "estimators.md"
    assert 1 == command.run(["eval", "--out", str(tmp_path / "out"), "--doc", str(document)])
    said = capsys.readouterr().err
    assert "https://github.com/TIGER-AI-Lab/MMLU-Pro" in said
    assert not document.exists()
