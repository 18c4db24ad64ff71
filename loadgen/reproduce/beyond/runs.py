"""The runs: every arm at every value of its knob, at every load, for every seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from loadgen.arrivals import poisson
from loadgen.questions.catalog import load_questions
from loadgen.reproduce.beyond.arms import ARMS, OWN, Bench
from loadgen.reproduce.beyond.fleet import build_pools, gpus_by_address
from loadgen.reproduce.beyond.measure import PointRun, measure
from loadgen.reproduce.beyond.questions import draw_traffic, mix_questions
from loadgen.reproduce.laar.curves import find_measurements
from loadgen.virtual.arms import Workbench
from loadgen.virtual.simulation import Run, Simulation


@dataclass(frozen=True, slots=True)
class BenchTask:
    """What has to be learned for one seed."""

    data: Path | None
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTask:
    """One run.

    Attributes:
        bench: What was learned.
        arm: A key of `ARMS`.
        knob: Value of its knob.
        rate: Arrivals per second.
        requests: Number of requests.
        seed: Of arrivals, questions and resamples.
    """

    bench: Bench
    arm: str
    knob: float
    rate: float
    requests: int
    seed: int


def learn(task: BenchTask) -> Bench:
    """Put a seed's questions together and learn from their training part."""
    base = load_questions("zeroeval", task.data, seed=task.seed)
    return Bench(Workbench(mix_questions(base, find_measurements(task.data), seed=task.seed)))


def simulate(task: RunTask) -> Run:
    """Simulate one run; the same questions at the same times for every arm."""
    questions = task.bench.workbench.questions
    fleet = build_pools(questions.models)
    rng = np.random.default_rng(task.seed)
    asked = draw_traffic(questions.held_out, task.requests, rng)
    arrivals = poisson(task.requests, task.rate, rng)
    decider = ARMS[task.arm].decider(task.bench, fleet, task.knob, np.random.default_rng(task.seed))
    return Simulation(fleet, decider).run(asked, arrivals)


def run_point(task: RunTask) -> PointRun:
    """Simulate one run and sum it up."""
    models = task.bench.workbench.questions.models
    return measure(simulate(task), gpus_by_address(build_pools(models), models), seed=task.seed)


def longest_first(tasks: Sequence[RunTask]) -> list[RunTask]:
    """In the order in which a pool should take them: our own arms compute longest, and high loads do."""
    return sorted(tasks, key=lambda task: (task.arm not in OWN, -task.rate))
