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
