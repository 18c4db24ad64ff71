from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from loadgen.__main__ import app
from loadgen.questions.generated import generate_questions
from loadgen.virtual.arms import Workbench
from loadgen.virtual.report import as_document, plot
from loadgen.virtual.scenario import Scenario, run_frontiers


def test_an_unknown_arm_is_refused_by_name(tmp_path: Path) -> None:
    """The message names the arms that there are; nothing is written."""
    result = CliRunner().invoke(app, ["simulate", "--arms", "fastest", "--out", str(tmp_path / "out")])
    assert 2 == result.exit_code
    assert "plan, laar" in result.output
    assert not (tmp_path / "out").exists()


def test_figures_and_plot_of_parallel_runs(tmp_path: Path) -> None:
    """Frontiers that two processes computed become a document and a picture."""
    pytest.importorskip("matplotlib")
    bench = Workbench(generate_questions("zeroeval", seed=1, count=200))
    scenario = Scenario(rate=20.0, requests=60, seed=1)
    points: list[None] = []
    frontiers = run_frontiers(
        bench, scenario, ["laar", "load_aware"], processes=2, on_point=lambda: points.append(None)
    )
    document = as_document("zeroeval", is_recorded=False, scenario=scenario, frontiers=frontiers)
    plot(frontiers, scenario, tmp_path / "f.png")
    assert 10 == len(points)
    assert [1.0, 2.0, 3.0, 4.0, 5.0] == [p["knob"] for p in document["arms"]["laar"]["points"]]
    assert json.dumps(document)
    assert (tmp_path / "f.png").read_bytes().startswith(b"\x89PNG")


def test_one_process_simulates_chosen_knobs_and_tells_its_time(tmp_path: Path) -> None:
    """Only the values asked for are run, here and now, and the cost per request is printed."""
    given = ["simulate", "--arms", "laar,load_aware", "--knobs", "2", "--requests", "120", "--processes", "1"]
    result = CliRunner().invoke(app, [*given, "--out", str(tmp_path)])

    assert 0 == result.exit_code, result.output
    assert "2 runs of 120 requests on 5 x 2 instances" in result.output
    assert "ms per request" in result.output
    arms = json.loads((tmp_path / "summary.json").read_text())["arms"]
    assert {"laar": [2.0], "load_aware": [2.0]} == {
        arm: [point["knob"] for point in found["points"]] for arm, found in arms.items()
    }


def test_a_knob_that_is_no_number_is_refused(tmp_path: Path) -> None:
    """The value is named."""
    result = CliRunner().invoke(app, ["simulate", "--knobs", "high", "--out", str(tmp_path)])
    assert 2 == result.exit_code
    assert "high" in result.output


def test_processes_do_not_change_figures() -> None:
    """A run here gives what a run in a process of its own gives."""
    bench = Workbench(generate_questions("zeroeval", seed=1, count=200))
    scenario = Scenario(rate=20.0, requests=60, seed=1)
    alone, apart = (
        run_frontiers(bench, scenario, ["laar"], knobs=[2.0], processes=n, on_point=lambda: None)["laar"][0]
        for n in (1, 2)
    )
    assert alone.figures == apart.figures
