from __future__ import annotations

import sys
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from extproc.cli import COMMANDS, add_commands

ROOT = Path(__file__).parents[2]
RUNNER = CliRunner()
QUICK = ("--thresholds", "4096", "--seeds", "1", "--processes", "1")


def _app() -> typer.Typer:
    """The command line with the commands that pyproject.toml declares, installed or not."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = project["entry-points"][COMMANDS]
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command("check")(lambda: None)
    add_commands(app, [EntryPoint(name, value, COMMANDS) for name, value in declared.items()])
    return app


def _trace(folder: Path) -> Path:
    rng = np.random.default_rng(3)
    path = folder / "trace.csv"
    rows = (
        f"{second:.2f},{prompt},{output}"
        for second, prompt, output in zip(
            np.arange(0, 20, 0.1), rng.integers(50, 900, 200), rng.integers(20, 200, 200), strict=True
        )
    )
    path.write_text("arrival_s,prompt_tokens,output_tokens\n" + "\n".join(rows) + "\n")
    return path


def test_help_shows_the_declared_command() -> None:
    """`ttca --help` names `plan`, which the service itself does not import."""
    shown = RUNNER.invoke(_app(), ["--help"])
    assert 0 == shown.exit_code
    assert "plan" in shown.output


def test_plan_runs_from_a_trace_to_a_fleet_file(tmp_path: Path) -> None:
    """The whole command: trace in, figures and fleet file out."""
    result = RUNNER.invoke(
        _app(),
        ["plan", "--trace", str(_trace(tmp_path)), *QUICK, "--out", str(tmp_path / "out")],
    )
    assert 0 == result.exit_code, result.output
    assert "Recommended:" in result.output
    assert {"plan.json", "fleet.yaml"} <= {path.name for path in (tmp_path / "out").iterdir()}


def test_plan_ends_with_one_when_no_fleet_keeps_the_objective(tmp_path: Path) -> None:
    """Scripts see that nothing was found."""
    arguments = ["plan", "--trace", str(_trace(tmp_path)), "--slo", "tpot_p99=1ms", "--processes", "1"]
    result = RUNNER.invoke(_app(), [*arguments, "--out", str(tmp_path / "out")])
    assert 1 == result.exit_code
    assert "No fleet keeps this SLO" in result.output


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--slo", "fast"], "error: SLO 'fast'"),
        (["--thresholds", "4k"], "error: thresholds '4k'"),
        (["--thresholds", ","], "error: thresholds: expected at least one"),
        (["--hardware", "abacus"], "error: hardware 'abacus' is neither a file nor a preset"),
        (["--model", "my model"], "error: model 'my model': expected a name without spaces"),
    ],
)
def test_mistakes_end_with_two_and_a_sentence(tmp_path: Path, arguments: list[str], told: str) -> None:
    """Wrong arguments are told in words, without a traceback."""
    given = ["plan", "--trace", str(_trace(tmp_path)), "--out", str(tmp_path / "out"), *arguments]
    result = RUNNER.invoke(_app(), given)
    assert 2 == result.exit_code
    assert told in result.output
    assert "Traceback" not in result.output


def test_command_that_cannot_be_loaded_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    """A broken package does not take the service's own commands away."""
    app = typer.Typer()
    app.command("check")(lambda: None)
    app.command("serve")(lambda: None)
    add_commands(app, [EntryPoint("broken", "no_such_package.cli:broken", COMMANDS)])
    assert "ttca broken is not available" in capsys.readouterr().err
    shown = RUNNER.invoke(app, ["--help"])
    assert "check" in shown.output
    assert "broken" not in shown.output


def test_service_does_not_import_its_load_generator() -> None:
    """Commands are found by name, when they are asked for."""
    source = Path(sys.modules["extproc.cli"].__file__ or "").read_text()
    assert "loadgen" not in source
