"""Measures decisions in rounds: all cases in turn within each, so that a noisy moment falls on all of them."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter_ns, thread_time_ns

import numpy as np
import numpy.typing as npt

from extproc.decide.order import Policy
from loadgen.decide_bench.stand import Stand, Workshop
from loadgen.decide_bench.stopwatch import STAGES, WHOLE, watching

SIZES = (13, 16, 64, 256, 1024)
"""Instances; 13 is RouteBalance's fleet."""

SMALL, LARGE = 16, 1024
"""Sizes whose costs are compared."""

PAPER_INSTANCES = 13

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Case:
    """One row of the tables."""

    instances: int
    policy: Policy


CASES: tuple[Case, ...] = (
    *(Case(instances, Policy.FIRST_CORRECT) for instances in SIZES),
    *(Case(PAPER_INSTANCES, policy) for policy in Policy if policy is not Policy.FIRST_CORRECT),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """How much is measured.

    Attributes:
        rounds: Rounds, at least 2.
        decisions: Decisions of each case in each round.
        cases: What is measured.
        staged: Those of them whose stages are timed, all of `first_correct`.
    """

    rounds: int
    decisions: int
    cases: tuple[Case, ...] = CASES
    staged: tuple[Case, ...] = (CASES[0], CASES[len(SIZES) - 1])

    @property
    def steps(self) -> int:
        """Steps of the progress bar."""
        return (self.rounds + 1) * len(self.cases) + len(self.staged)


FULL = Extent(rounds=20, decisions=200)
QUICK = Extent(rounds=6, decisions=60)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What was measured.

    Attributes:
        microseconds: By case one array per round, shape (decisions,).
        cpu_microseconds: The same of the thread's CPU clock, which stands still while others have the CPU.
        stages: By size and stage the time of each decision in microseconds; under `WHOLE` the whole.
    """

    microseconds: dict[Case, list[Floats]]
    cpu_microseconds: dict[Case, list[Floats]]
    stages: dict[int, dict[str, Floats]]


def measure(workshop: Workshop, extent: Extent, *, on_step: Callable[[], None]) -> Measured:
    """Measure every case, and then the stages, which timing slows down.

    A first round warms caches up and is thrown away. The garbage collector runs between the blocks and not within.
    """
    stands = {case: workshop.stand(case.instances, case.policy) for case in extent.cases}
    found: dict[Case, list[Floats]] = {case: [] for case in extent.cases}
    cpu: dict[Case, list[Floats]] = {case: [] for case in extent.cases}
    for number in range(extent.rounds + 1):
        # Rotated, so that no case always follows the same one.
        first = number % len(extent.cases)
        for case in (*extent.cases[first:], *extent.cases[:first]):
            times, cpu_times = _decide(stands[case], extent.decisions)
            if number:
                found[case].append(times)
                cpu[case].append(cpu_times)
            on_step()
    stages: dict[int, dict[str, Floats]] = {}
    for case in extent.staged:
        stages[case.instances] = _stages(stands[case], extent.decisions * extent.rounds)
        on_step()
    return Measured(microseconds=found, cpu_microseconds=cpu, stages=stages)


def _decide(stand: Stand, decisions: int) -> tuple[Floats, Floats]:
    """Time decisions by the clock and by the thread's CPU time, in microseconds."""
    times, cpu_times = np.empty(decisions), np.empty(decisions)
    gc.collect()
    gc.disable()
    try:
        for number in range(decisions):
            facts, now, decision_id = stand.next_request()
            cpu_started, started = thread_time_ns(), perf_counter_ns()
            stand.router.route(facts, now=now, decision_id=decision_id)
            ended, cpu_ended = perf_counter_ns(), thread_time_ns()
            times[number], cpu_times[number] = ended - started, cpu_ended - cpu_started
    finally:
        gc.enable()
    return times / 1e3, cpu_times / 1e3


def _stages(stand: Stand, decisions: int) -> dict[str, Floats]:
    with watching() as found:
        _decide(stand, decisions)
    return {name: np.array(found[name]) / 1e3 for name, _, _, _ in STAGES}


def other_microseconds(stages: dict[str, Floats]) -> float:
    """What the stages leave over of the median decision."""
    named = sum(float(np.median(stages[name])) for name, depth, _, _ in STAGES if depth == 1)
    return float(np.median(stages[WHOLE])) - named


def medians(rounds: Sequence[Floats]) -> list[float]:
    """Median of each round."""
    return [float(np.median(times)) for times in rounds]
