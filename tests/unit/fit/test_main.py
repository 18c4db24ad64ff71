from __future__ import annotations

import sys

import pytest

from extproc.fit.__main__ import main


def test_a_missing_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without scikit-learn the program says what to install."""
    monkeypatch.delitem(sys.modules, "extproc.fit.command", raising=False)
    monkeypatch.setitem(sys.modules, "extproc.fit.engine", None)
    assert 1 == main(["fit", "table.jsonl", "--out", "model"])
    assert "ttca-router[fit]" in capsys.readouterr().err


def test_the_program_runs_its_command(capsys: pytest.CaptureFixture[str]) -> None:
    """Arguments are handed on."""
    assert 1 == main(["fit", "absent.jsonl", "--out", "model"])
    assert "neither" in capsys.readouterr().err
