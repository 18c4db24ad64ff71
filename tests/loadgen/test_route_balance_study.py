"""The study as a whole, and what its findings are made of."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from typing import Any

import numpy as np
import pytest

from loadgen.reproduce import route_balance
from loadgen.reproduce.findings import StudyReport, Verdict
from loadgen.reproduce.route_balance import experiment
from loadgen.reproduce.route_balance.cells import Cell, Load, Setting
from loadgen.reproduce.route_balance.families import FULL, STATIC, families
from loadgen.reproduce.route_balance.measured import Measured, Reference, figure
from loadgen.reproduce.route_balance.verdicts import judge_effect, judge_range, judge_sign
from loadgen.reproduce.study import StudyContext
from loadgen.virtual.summary import Figure

LOAD = Load(rate=10.0)
REFERENCE = Reference(usd=1.0, seconds=10.0)


class Inline(ProcessPoolExecutor):
    """Runs tasks where they are given: no process is started."""

    def __init__(self) -> None:
        pass

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        done: Future[Any] = Future()
        done.set_result(fn(*args, **kwargs))
        return done


@pytest.fixture(scope="module")
def report() -> StudyReport:
    """A quick run on generated questions, with very few requests."""
    context = StudyContext(
        seed=1,
        is_quick=True,
        data=None,
        pool=Inline(),
        on_tasks=lambda _count: None,
        on_done=lambda: None,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(experiment, "_QUICK_REQUESTS", 30)
        patch.setattr(experiment, "_QUICK_PROFILED", 40)
        return route_balance.STUDY.run(context)


def test_a_quick_run_reports_everything(report: StudyReport) -> None:
    """Every finding has a name of its own, a reason, and a figure unless it was not reproduced."""
    keys = [finding.key for finding in report.findings]
    assert len(set(keys)) == len(keys)
    assert not report.is_recorded
    for finding in report.findings:
        assert finding.reason
        assert (finding.ours is None) == (finding.verdict is Verdict.NOT_REPRODUCED), finding.key
        if finding.ours is not None:
            assert math.isfinite(finding.ours.value), finding.key
            assert finding.ours.low <= finding.ours.value <= finding.ours.high, finding.key


def test_charts_have_their_frontiers(report: StudyReport) -> None:
    """Quality against latency and price at both rates, latency by rate, and bursts."""
    assert 6 == len(report.charts)
    for chart in report.charts:
        assert all(len(series.x) == len(series.y) > 0 for series in chart.series)


def cell(correct: list[float], seconds: list[float]) -> Cell:
    return Cell(
        questions=np.arange(len(correct)),
        correct=np.array(correct),
        seconds=np.array(seconds),
        usd=np.full(len(correct), 0.5),
        shares=np.array([1.0, 0.0]),
        throughput=1.0,
    )


def measured() -> Measured:
    """Two arms on four questions: one quick and half right, one slow and always right."""
    quick = Setting(arm=FULL, load=LOAD, requests=10, seed=1)
    slow = Setting(arm=STATIC, load=LOAD, requests=10, seed=1)
    return Measured(
        {quick: cell([1, 0, 1, 0], [1, 2, 3, 4]), slow: cell([1, 1, 1, 1], [2, 4, 6, 8])}, questions=4, seed=1
    )


def test_differences_are_paired() -> None:
    """An arm that is twice as slow on every question is so in every resample."""
    found = measured()
    ratio = found.seconds(STATIC, LOAD) / found.seconds(FULL, LOAD)
    assert Figure(2.0, 2.0, 2.0) == figure(ratio)
    assert figure(found.seconds(FULL, LOAD)).low < 2.5 < figure(found.seconds(FULL, LOAD)).high


def test_quantiles_are_those_of_the_requests() -> None:
    """The median is the least value that half of the requests do not exceed."""
    assert 2.0 == measured().quantiles(FULL, LOAD, 0.5)[0]
    assert 4.0 == measured().quantiles(FULL, LOAD, 0.99)[0]


def test_points_count_what_is_lacking() -> None:
    """Shortfall of quality, share of the price, share of the latency."""
    point = measured().points([FULL], LOAD, REFERENCE)[0, 0]
    assert [0.5, 0.5, 0.25] == pytest.approx(point.tolist())
    assert 0.5 * 0.5 * 0.75 == pytest.approx(measured().hypervolumes([FULL], LOAD, REFERENCE)[0])


def test_neither_of_two_trade_offs_covers_the_other() -> None:
    """Better in one thing and worse in another dominates nothing."""
    found = measured()
    assert 0.0 == found.coverage([FULL], [STATIC], LOAD, REFERENCE)[0]
    assert 0.0 == found.coverage([STATIC], [FULL], LOAD, REFERENCE)[0]


def test_a_sign_holds_with_its_whole_interval() -> None:
    """All of the interval beyond the bound holds, the value alone holds with conditions, else it does not."""
    assert Verdict.HOLDS is judge_sign(Figure(2.0, 1.5, 3.0), is_above=True, bound=1.0)
    assert Verdict.CONDITIONAL is judge_sign(Figure(2.0, 0.5, 3.0), is_above=True, bound=1.0)
    assert Verdict.FAILS is judge_sign(Figure(0.9, 0.5, 3.0), is_above=True, bound=1.0)
    assert Verdict.HOLDS is judge_sign(Figure(-1.0, -2.0, -0.1), is_above=False)


def test_a_range_is_met_or_touched() -> None:
    """A value inside holds, an interval that reaches it holds with conditions."""
    assert Verdict.HOLDS is judge_range(Figure(2.0, 1.0, 3.0), 1.5, 2.5)
    assert Verdict.CONDITIONAL is judge_range(Figure(3.0, 2.4, 4.0), 1.5, 2.5)
    assert Verdict.FAILS is judge_range(Figure(3.0, 2.6, 4.0), 1.5, 2.5)


def test_an_effect_of_another_size_holds_with_conditions() -> None:
    """There, but not as large as published; and not there at all."""
    assert Verdict.HOLDS is judge_effect(Figure(2.7, 2.0, 3.0), (2.6, 4.1))
    assert Verdict.CONDITIONAL is judge_effect(Figure(1.5, 1.2, 1.8), (2.6, 4.1))
    assert Verdict.FAILS is judge_effect(Figure(0.9, 0.8, 0.95), (2.6, 4.1))
    assert Verdict.HOLDS is judge_effect(Figure(0.95, 0.9, 0.99), (0.9, 0.98))


def test_every_published_arm_is_among_the_rivals() -> None:
    """The plan is held against all of them together, and against no arm of its own."""
    labels = families(is_quick=False)
    assert {"plan verified", "plan one attempt", "RouteBalance", "BEST-Route SQ", "Avengers-Pro RR"} <= set(
        labels
    )
    assert 16 == len(labels["RouteBalance"])
