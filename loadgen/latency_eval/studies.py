"""The studies: each gives plain figures, for `out/eval/latency.json` and for the tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from extproc.fleet.load import LoadBook
from extproc.fleet.snapshot import FleetTable, Floats
from extproc.fleet.topology import Fleet, Speed
from loadgen.calibration.measured import LoadPoint, closed_loop_points, static_batch_points
from loadgen.engine.core import Engine
from loadgen.latency_eval.points import FEW, point_errors, staggered, together
from loadgen.latency_eval.replay import replay, usual_length
from loadgen.latency_eval.rivals import Guess, Ours, Predictor, RouteBalance, Static
from loadgen.latency_eval.routing import routed_latencies, scaled
from loadgen.latency_eval.scores import score_total, score_ttft
from loadgen.latency_eval.simulated import (
    LENGTH_SIGMA,
    SLOTS,
    Arrivals,
    engine_config,
    one_after_another,
    simulated_trace,
)
from loadgen.latency_eval.sources import aibrix_traces, llmservingsim_traces
from loadgen.latency_eval.trace import A100_8B, TimedRequest, Trace, fleet_of

Result = dict[str, Any]

STATIC, ROUTEBALANCE, OURS = "static prior", "RouteBalance", "this service"


def _makers() -> dict[str, Callable[[FleetTable], Predictor]]:
    return {
        STATIC: lambda _table: Static(),
        f"{ROUTEBALANCE}, static": lambda _table: RouteBalance(learns=False),
        f"{ROUTEBALANCE}, learned": lambda _table: RouteBalance(learns=True),
        OURS: Ours,
    }


PASSES = 3
"""Times that the learned half of a crossed trace is seen: as if the traffic came on so many days."""

WINDOWS = ((0, 25), (25, 50), (50, 100), (100, 200), (200, 500), (500, 2000))
"""Requests over which the learning from a wrong prior is shown."""


def recorded(folder: Path, seed: int) -> Result:
    """Recorded traces, predicted in the order in which things became known, from a cold start."""
    traces = [*llmservingsim_traces(folder), *aibrix_traces(folder)]
    return {trace.name: _scores(trace, replay(trace, _fresh(trace)), seed) for trace in traces}


def crossed(folder: Path, seed: int) -> Result:
    """The traces that end before they teach: learned on every other request, predicted on those between."""
    found = {}
    for trace in llmservingsim_traces(folder):
        merged: dict[str, list[Guess]] = {}
        for fold in (0, 1):
            predictors = _fresh(trace)
            for _ in range(PASSES):
                replay(trace, predictors, learns=_of_parity(fold))
            guesses = replay(trace, predictors, learns=lambda _number: False)
            for name, said in guesses.items():
                merged.setdefault(name, list(said))[1 - fold :: 2] = said[1 - fold :: 2]
        found[trace.name] = _scores(trace, merged, seed)
    return found


def _of_parity(parity: int) -> Callable[[int], bool]:
    return lambda number: number % 2 == parity


def points(folder: Path, seed: int) -> Result:
    """Published mean latencies by load."""
    return {
        "closed loops": _points(closed_loop_points(folder, least=12), staggered, seed),
        "static batches": _points(static_batch_points(folder), together, seed),
    }


def _points(
    groups: Mapping[str, Sequence[LoadPoint]], backlog: Callable[[LoadPoint], float], seed: int
) -> Result:
    errors = point_errors(groups, _makers(), backlog=backlog, seed=seed)
    return {
        "groups": len(groups),
        "loads": sum(len(loads) for loads in groups.values()),
        "predictors": {
            name: {
                "first": _pooled([found[:, :FEW] for found in by_group.values()], seed),
                "later": _pooled([found[:, FEW:] for found in by_group.values()], seed),
            }
            for name, by_group in errors.items()
        },
    }


def _pooled(groups: Sequence[Floats], seed: int) -> Result:
    """Median errors over all groups; the interval comes from drawing whole groups."""
    rng = np.random.default_rng(seed)
    flat = [group.reshape(-1, 2) for group in groups]
    draws = rng.integers(0, len(flat), size=(300, len(flat)))
    resampled = np.array([np.median(np.concatenate([flat[i] for i in draw]), axis=0) for draw in draws])
    low, high = np.quantile(resampled, (0.025, 0.975), axis=0)
    median = np.median(np.concatenate(flat), axis=0)
    return {
        figure: {"median": float(median[i]), "low": float(low[i]), "high": float(high[i])}
        for i, figure in enumerate(("ttft", "total"))
    }


def simulated(seed: int, *, requests: int = 2000) -> Result:
    """Poisson loads on four simulated engines with the declared speed, with lengths known and not known."""
    found: Result = {}
    for per_second in (2.0, 10.0, 20.0):
        arrivals = Arrivals.poisson(requests, per_second, seed)
        trace = simulated_trace(
            f"{per_second:g} requests/s", prior=A100_8B, speeds=[A100_8B] * 4, arrivals=arrivals
        )
        table = LoadBook(trace.fleet).table
        found[trace.name] = {
            "known length": _scores(trace, replay(trace, _fresh(trace)), seed),
            "unknown length": _scores(
                trace,
                replay(
                    trace, {"this service": Ours(table, output_log_spread=LENGTH_SIGMA)}, length=usual_length
                ),
                seed,
            ),
            "not streamed": _scores(
                trace, replay(trace, {"this service": Ours(table, is_streamed=False)}), seed
            ),
        }
    return found


def wrong_priors(seed: int, *, requests: int = 2000) -> Result:
    """Errors by number of requests when the declared speed is right, half and double; then one slow instance."""
    arrivals = Arrivals.poisson(requests, 10.0, seed)
    found: Result = {}
    for name, factor in (
        ("right", 1.0),
        ("half the time", 0.5),
        ("twice the time", 2.0),
        ("a fifth of the time", 0.2),
    ):
        trace = simulated_trace(name, prior=scaled(A100_8B, factor), speeds=[A100_8B] * 4, arrivals=arrivals)
        ours = Ours(LoadBook(trace.fleet).table)
        predictors: dict[str, Predictor] = {"static": Static(), "learned": ours}
        guesses = replay(trace, predictors)
        learned = ours.estimator.speed(trace.cluster.name)
        found[name] = {who: _windows(trace, said) for who, said in guesses.items()}
        found[name]["speed"] = {
            "W": learned.iteration_base_seconds / A100_8B.iteration_base_seconds,
            "H": learned.iteration_per_sequence_seconds / A100_8B.iteration_per_sequence_seconds,
            "1/R": A100_8B.prefill_tokens_per_second / learned.prefill_tokens_per_second,
        }
    return found


def _windows(trace: Trace, guesses: Sequence[Guess]) -> list[float]:
    errors = _total_errors(trace.requests, guesses)
    return [float(np.median(errors[start:end])) for start, end in WINDOWS]


def _total_errors(requests: Sequence[TimedRequest], guesses: Sequence[Guess]) -> Floats:
    measured = np.array([request.total_seconds for request in requests])
    result: Floats = np.abs(np.array([guess.total_seconds for guess in guesses]) - measured) / measured
    return result


def changes(seed: int, *, requests: int = 1000) -> Result:
    """One of four instances is slower than its cluster; and a whole cluster that becomes slower at once."""
    arrivals = Arrivals.poisson(requests, 8.0, seed)
    slow = scaled(A100_8B, 1.5)
    uneven = simulated_trace("uneven", prior=A100_8B, speeds=[slow, *[A100_8B] * 3], arrivals=arrivals)
    ours = Ours(LoadBook(uneven.fleet).table)
    errors = _total_errors(uneven.requests, replay(uneven, {"ours": ours})["ours"])
    on_slow = np.array([request.address == uneven.requests[0].address for request in uneven.requests])
    later = np.arange(len(errors)) >= requests // 2
    before = simulated_trace("before", prior=A100_8B, speeds=[A100_8B] * 4, arrivals=arrivals)
    after = simulated_trace("after", prior=A100_8B, speeds=[slow] * 4, arrivals=arrivals)
    both = one_after_another(before, after)
    changed = _total_errors(both.requests, replay(both, {"ours": Ours(LoadBook(both.fleet).table)})["ours"])
    static = _total_errors(both.requests, replay(both, {"static": Static()})["static"])
    return {
        "uneven": {
            "slow instance, later half": float(np.median(errors[on_slow & later])),
            "other instances, later half": float(np.median(errors[~on_slow & later])),
            "learned factor": float(ours.estimator.factors(uneven.requests[0].address)[1]),
        },
        "slowed": {
            "before": float(np.median(changed[requests - 200 : requests])),
            "windows": [float(np.median(changed[requests + a : requests + b])) for a, b in WINDOWS[:-1]],
            "static windows": [
                float(np.median(static[requests + a : requests + b])) for a, b in WINDOWS[:-1]
            ],
        },
    }


def routing(seed: int, *, requests: int = 3000, seeds: int = 5) -> Result:
    """Mean latency when a router believes wrong speeds, learns them, and knows them."""
    true = [A100_8B, scaled(A100_8B, 2.0)]
    arms = {
        "declared right, not learned": (true, False),
        "declared right, learned": (true, True),
        "declared the wrong way round, not learned": (true[::-1], False),
        "declared the wrong way round, learned": (true[::-1], True),
    }
    found: Result = {}
    for name, (declared, learns) in arms.items():
        means, p95 = [], []
        for number in range(seeds):
            engines = [Engine(engine_config(speed)) for speed in true for _ in range(2)]
            arrivals = Arrivals.poisson(requests, 12.0, seed + number)
            totals = np.array(routed_latencies(two_clusters(declared), engines, arrivals, learns=learns))
            means.append(float(totals.mean()))
            p95.append(float(np.quantile(totals, 0.95)))
        found[name] = {"mean": means, "p95": p95}
    return found


def two_clusters(speeds: Sequence[Speed]) -> Fleet:
    """Two clusters of two instances each."""
    whole = fleet_of(speeds[0], 4, SLOTS)
    template, instances = whole.clusters[0], whole.clusters[0].instances
    parts = (("first", instances[:2]), ("second", instances[2:]))
    clusters = tuple(
        replace(template, name=name, speed=speed, instances=part)
        for (name, part), speed in zip(parts, speeds, strict=True)
    )
    return Fleet(clusters=clusters, pools=whole.pools)


def _fresh(trace: Trace) -> dict[str, Predictor]:
    table = LoadBook(trace.fleet).table
    return {name: make(table) for name, make in _makers().items()}


def _scores(trace: Trace, guesses: Mapping[str, Sequence[Guess]], seed: int) -> Result:
    return {
        "requests": len(trace.requests),
        "predictors": {
            name: {
                "ttft": asdict(score_ttft(said, trace.requests, seed)),
                "total": asdict(score_total(said, trace.requests, seed)),
            }
            for name, said in guesses.items()
        },
    }
