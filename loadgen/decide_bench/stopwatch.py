"""Times the stages of a decision from outside: functions are replaced by timed ones for as long as that is wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from time import perf_counter_ns
from typing import ParamSpec, TypeVar

from extproc import router
from extproc.decide import first_correct, policies, quality_planner
from extproc.estimate import forecast
from extproc.estimate.latency import LatencyEstimator
from extproc.fleet.load import LoadBook

_Given = ParamSpec("_Given")
_Result = TypeVar("_Result")

WHOLE = "decision"

STAGES: tuple[tuple[str, int, object, str], ...] = (
    (WHOLE, 0, router.Router, "route"),
    ("snapshot", 1, LoadBook, "snapshot"),
    ("eligible", 1, router, "eligible"),
    ("budget", 1, router, "token_budget"),
    ("pool", 1, quality_planner, "choose_pool"),
    ("forecast", 1, forecast.Forecaster, "forecast"),
    ("chances", 2, forecast.Forecaster, "_chances"),
    ("latency", 2, LatencyEstimator, "predict"),
    ("rank", 1, policies, "rank_first_correct"),
    ("sequence", 2, first_correct, "best_sequence"),
    ("plan", 1, quality_planner, "plan_ranked"),
    ("charge", 1, router.Router, "_charge"),
)
"""Name, depth (a stage of depth 2 is part of the one of depth 1 above it), and where the function is looked up."""


@contextmanager
def watching() -> Iterator[dict[str, list[int]]]:
    """Collect nanoseconds by stage, one entry per call, until the end of the block."""
    found: dict[str, list[int]] = {name: [] for name, _, _, _ in STAGES}
    originals = [(owner, attribute, getattr(owner, attribute)) for _, _, owner, attribute in STAGES]
    try:
        for name, _, owner, attribute in STAGES:
            setattr(owner, attribute, _timed(getattr(owner, attribute), found[name]))
        yield found
    finally:
        for owner, attribute, original in originals:
            setattr(owner, attribute, original)


def _timed(function: Callable[_Given, _Result], found: list[int]) -> Callable[_Given, _Result]:
    @wraps(function)
    def timed(*args: _Given.args, **kwargs: _Given.kwargs) -> _Result:
        started = perf_counter_ns()
        try:
            return function(*args, **kwargs)
        finally:
            found.append(perf_counter_ns() - started)

    return timed
