from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from extproc.fit.plots import Calibration, draw_calibration

CURVES: dict[str, Calibration] = {
    "after 0, coupled": {"error": 0.01, "bins": [{"predicted": 0.4, "observed": 0.41, "count": 10}]},
    "after 1, independent": {"error": 0.2, "bins": [{"predicted": 0.5, "observed": 0.3, "count": 10}]},
}


def test_curves_are_drawn_where_matplotlib_is_installed(tmp_path: Path) -> None:
    """The drawing is made, or its absence is told; never an error."""
    path = tmp_path / "out" / "plot.svg"
    is_there = importlib.util.find_spec("matplotlib") is not None
    assert is_there == draw_calibration(CURVES, path)
    assert is_there == path.exists()


def test_without_matplotlib_nothing_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The evaluation goes on without its plot."""
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    path = tmp_path / "plot.svg"
    assert not draw_calibration(CURVES, path)
    assert not path.exists()
