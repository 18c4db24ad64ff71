from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType

import numpy as np
import pytest

from extproc.fit.evaluate import average_value, calibration_after_failures, judge, mean_ahead
from extproc.fit.fleets import FLEETS, FleetOfModels
from extproc.fit.published import SOURCES
from extproc.fit.table import OutcomeTable
from extproc.fit.trials import ESTIMATORS, OURS, Trial, run

MakeTable = Callable[..., OutcomeTable]

FLEET = FleetOfModels(
    "made up", MappingProxyType({"weak": 1.0, "strong": 8.0, "specialist": 4.0}), ("made up",)
)


@pytest.fixture
def inside(make_table: MakeTable) -> Trial:
    table = make_table(200)
    names = ("fold 0", "fold 1")
    return run(FLEET, table, "made up", table.folds(2), names)


@pytest.fixture
def across(make_table: MakeTable) -> Trial:
    table = make_table(180)
    names = tuple(sorted(set(table.groups)))
    parts = np.array([names.index(group) for group in table.groups])
    return run(FLEET, table, "made up", parts, names)


def test_every_estimator_is_judged_by_every_figure(inside: Trial) -> None:
    """All rungs have all figures, intervals hold their values, and the specialist is worth routing to."""
    judged = judge(inside, seed=0, samples=20)
    rows = judged["estimators"]
    assert isinstance(rows, dict)
    assert list(ESTIMATORS) == list(rows)
    for row in rows.values():
        assert row["log_loss"]["low"] <= row["log_loss"]["value"] <= row["log_loss"]["high"]
        assert row["joint_coupled"]["value"] >= row["joint_independent"]["value"] - 0.02
    assert rows[OURS]["value"]["value"] > rows["prior only"]["value"]["value"]
    assert {} == judged["by_part"]


def test_groups_left_out_are_judged_one_by_one(across: Trial) -> None:
    """Every group has a routing value of its own, and the mean is over groups."""
    judged = judge(across, seed=0, samples=5)
    parts = judged["by_part"]
    assert isinstance(parts, dict)
    assert {"rivers", "proofs", "meals"} == set(parts)
    mean = average_value([judged], lambda _: True)
    assert (
        pytest.approx(np.mean([figures[OURS]["value"] for figures in parts.values()]), abs=1e-4) == mean[OURS]
    )


def test_the_coupling_is_calibrated_after_a_failure(inside: Trial) -> None:
    """Chances given a failure come true far better with the shared difficulty than without."""
    curves = calibration_after_failures([inside])
    coupled, apart = (curves[f"after 1, {kind}"] for kind in ("coupled", "independent"))
    assert isinstance(coupled, dict)
    assert isinstance(apart, dict)
    assert coupled["error"] < 0.6 * apart["error"]


def test_failures_are_those_that_happened(inside: Trial) -> None:
    """Two failures of three models leave one case for each question that two others really failed."""
    said, right = inside.after_failures(OURS, 2, coupled=True)
    failures = 1.0 - inside.outcomes
    expected = sum(
        int((failures[:, first] * failures[:, second]).sum()) for first, second in ((0, 1), (0, 2), (1, 2))
    )
    assert (expected, expected) == (len(said), len(right))


def test_fleets_name_published_sets() -> None:
    """Every fleet has costs above 0 and sets that can be loaded."""
    for fleet in FLEETS:
        assert set(fleet.inside) | set(fleet.across) <= set(SOURCES)
        assert min(fleet.costs.values()) > 0
        assert not fleet.by_group or len(fleet.across) == 1


def test_the_lead_over_others_is_paired(inside: Trial, across: Trial) -> None:
    """The mean lead is the mean of differences; against the best other of each trial it is never greater."""
    judged = [judge(trial, seed=0, samples=20) for trial in (inside, across)]
    ahead = mean_ahead(judged)
    draws = [each["value_draws"] for each in judged]
    expected = np.mean([each[OURS][0] - each["prior only"][0] for each in draws])  # type: ignore[index]
    assert pytest.approx(expected, abs=1e-5) == ahead["prior only"]["value"]
    assert set(ESTIMATORS) - {OURS} == set(ahead)

    best = mean_ahead(judged, by_hindsight=True)["best of each"]["value"]
    assert best <= min(figure["value"] for figure in ahead.values()) + 1e-9
