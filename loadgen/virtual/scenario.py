"""Scenarios, run side by side in processes of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Literal

import numpy as np
import numpy.typing as npt

from loadgen.arrivals import poisson, square_wave
from loadgen.questions.question import Question
from loadgen.virtual.arms import ARMS, Workbench
from loadgen.virtual.fleet import STUDY_TIERS, build_fleet
from loadgen.virtual.simulation import Run, Simulation
from loadgen.virtual.summary import Summary, summarize

Pattern = Literal["poisson", "square"]

SQUARE_RATIO = 5.0
SQUARE_PERIOD_SECONDS = 120.0
"""High rate over low rate, and length of a high and a low phase: 30 and 6 requests per second, as RouteBalance's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """What is simulated.

    Attributes:
        rate: Mean arrivals per second.
        pattern: How they come.
        requests: Number of requests, at least 10.
        instances: Instances of each model.
        seed: Of arrivals, questions and resamples.
    """

    rate: float
    requests: int
    seed: int
    pattern: Pattern = "poisson"
    instances: int = 2

    def traffic(self, questions: Sequence[Question]) -> tuple[list[Question], npt.NDArray[np.float64]]:
        """Questions in the order in which they are asked, and when; the same for every arm.

        Raises:
            ValueError: The rate or the number of requests makes no sense.
        """
        rng = np.random.default_rng(self.seed)
        asked = [questions[index] for index in rng.integers(0, len(questions), self.requests)]
        if self.pattern == "square":
            return asked, square_wave(self.requests, self.rate, SQUARE_RATIO, SQUARE_PERIOD_SECONDS, rng)
        return asked, poisson(self.requests, self.rate, rng)


def run_point(
    bench: Workbench,
    scenario: Scenario,
    arm: str,
    knob: float,
    *,
    on_done: Callable[[], None] | None = None,
) -> Run:
    """Simulate one arm at one value of its knob.

    Args:
        bench: Questions and what was learned from them.
        scenario: What is simulated.
        arm: A key of `ARMS`.
        knob: Value of its knob.
        on_done: Called once for each request that ended.
    """
    fleet = build_fleet(
        bench.questions.models, STUDY_TIERS, instances=[scenario.instances] * len(bench.questions.models)
    )
    asked, arrivals = scenario.traffic(bench.questions.held_out)
    decider = ARMS[arm].decider(bench, fleet, knob, np.random.default_rng(scenario.seed))
    return Simulation(fleet, decider, on_done=on_done).run(asked, arrivals)


def summarize_point(
    bench: Workbench,
    scenario: Scenario,
    arm: str,
    knob: float,
    *,
    on_done: Callable[[], None] | None = None,
) -> Summary:
    """Simulate one arm at one value of its knob, and summarise; arguments as of `run_point`."""
    run = run_point(bench, scenario, arm, knob, on_done=on_done)
    return summarize(run, knob=knob, seed=scenario.seed)


def run_frontiers(
    bench: Workbench,
    scenario: Scenario,
    arms: Sequence[str],
    *,
    processes: int,
    on_point: Callable[[], None],
    knobs: Sequence[float] = (),
    on_done: Callable[[], None] | None = None,
) -> Mapping[str, tuple[Summary, ...]]:
    """Simulate arms at some values of their knobs, in parallel.

    Args:
        bench: Questions and what was learned from them.
        scenario: What is simulated.
        arms: Keys of `ARMS`.
        processes: How many run at once, at least 1; a single one is this very process.
        on_point: Called as each point is done.
        knobs: Values of each arm's knob; all of its own if empty.
        on_done: Called as each request ends, where that happens in this process.

    Returns:
        By arm, its points in the order of the knob.
    """
    values = {arm: tuple(knobs) or ARMS[arm].values for arm in arms}
    found: dict[tuple[str, float], Summary] = {}
    if processes == 1:
        for arm, knob in [(name, value) for name in arms for value in values[name]]:
            found[arm, knob] = summarize_point(bench, scenario, arm, knob, on_done=on_done)
            on_point()
    else:
        with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
            points = {
                pool.submit(summarize_point, bench, scenario, arm, knob): (arm, knob)
                for arm in arms
                for knob in values[arm]
            }
            for future in as_completed(points):
                found[points[future]] = future.result()
                on_point()
    return {arm: tuple(found[arm, knob] for knob in values[arm]) for arm in arms}
