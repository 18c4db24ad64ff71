from __future__ import annotations

from collections.abc import Callable

import pytest

from extproc.fit import timing
from extproc.fit.fitting import FitSettings, fit_model
from extproc.fit.table import OutcomeTable


def test_every_step_of_a_request_is_timed(
    make_table: Callable[..., OutcomeTable], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each step has a median and a 99th percentile, in order."""
    monkeypatch.setattr(timing, "_CALLS", 5)
    found = timing.measure(fit_model(make_table(60), FitSettings(directions=4)).model, "some words here ")
    assert 7 == len(found)
    assert all(0.0 < row["p50"] <= row["p99"] for row in found.values())
