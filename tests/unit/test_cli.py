from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from typer.testing import CliRunner

from extproc.cli import app
from extproc.model_directory import load_model


def test_fit_reads_tables_and_writes_a_directory(tmp_path: Path) -> None:
    """What `ttca fit` writes can be read by the service."""
    table = tmp_path / "outcomes.jsonl"
    table.write_text(
        "\n".join(f'{{"prompt": "question {n}", "correct": {{"a": {n % 2}}}}}' for n in range(30))
    )
    result = CliRunner().invoke(app, ["fit", str(table), "--out", str(tmp_path / "model")])

    assert 0 == result.exit_code
    assert ("a",) == load_model(tmp_path / "model").names


@pytest.mark.parametrize("arguments", [["fit", "table.jsonl", "--out", "model"], ["eval"]])
def test_commands_that_need_the_extra_say_so(monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    """Without scikit-learn the command names what to install, and the others still work."""
    for name in list(sys.modules):
        if name.startswith("extproc.fit.") and name != "extproc.fit.extra":
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "sklearn", None)
    result = CliRunner().invoke(app, arguments)

    assert 1 == result.exit_code
    assert "ttca-router[fit]" in result.output
    assert 0 == CliRunner().invoke(app, ["--help"]).exit_code


def test_the_versions_can_be_asked_for() -> None:
    """A report of a fault names the release, and Envoy's."""
    result = CliRunner().invoke(app, ["--version"])

    assert 0 == result.exit_code
    assert result.output.startswith(f"ttca-router {version('ttca-router')}, Python 3.")
    assert "Envoy 1." in result.output


def test_eval_without_data_ends_with_status_1(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The sources are named."""
    monkeypatch.setenv("TTCA_DATA", str(tmp_path / "absent"))
    result = CliRunner().invoke(app, ["eval", "--doc", str(tmp_path / "doc.md")])

    assert 1 == result.exit_code
    assert "github.com" in result.output


def test_a_log_level_that_does_not_exist_is_told_with_those_that_do(tmp_path: Path) -> None:
    """A typing error ends in the levels there are, not in a traceback."""
    result = CliRunner().invoke(app, ["serve", str(tmp_path / "fleet.yaml"), "--log-level", "loud"])

    assert 2 == result.exit_code
    assert "debug" in result.output


@pytest.mark.parametrize("level", ["debug", "Warning", "ERROR"])
def test_a_log_level_may_be_written_in_any_case(tmp_path: Path, level: str) -> None:
    """The level is understood, so what is told of is the file that is not there."""
    result = CliRunner().invoke(app, ["serve", str(tmp_path / "fleet.yaml"), "--log-level", level])

    assert 1 == result.exit_code
    assert "cannot be read" in result.output
