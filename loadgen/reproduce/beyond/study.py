"""The study: sizes, runs, and what is made of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from loadgen.reproduce.beyond.arms import ARMS
from loadgen.reproduce.beyond.frontier import Frontiers
from loadgen.reproduce.beyond.measure import Measured, PointRun, pool_seeds
from loadgen.reproduce.beyond.report import write_report
from loadgen.reproduce.beyond.runs import BenchTask, RunTask, learn, longest_first, run_point
from loadgen.reproduce.findings import StudyReport
from loadgen.reproduce.study import StudyContext


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much is run.

    Attributes:
        rates: Requests per second, ascending: from idle to overload.
        seeds: Number of seeds, each with its own division of the questions and its own arrivals.
        requests: Of each run.
    """

    rates: Sequence[float]
    seeds: int
    requests: int


FULL = Size(rates=(1.0, 6.0, 12.0, 18.0, 24.0), seeds=3, requests=1_000)
QUICK = Size(rates=(1.0, 18.0), seeds=1, requests=500)


class BeyondStudy:
    """All three papers at once: models, pools, instances and retries, decided one after the other or together."""

    key = "beyond"
    title = "Beyond: models, pools, instances and retries together"

    def run(self, context: StudyContext) -> StudyReport:
        """Run it.

        Raises:
            FileNotFoundError: The data folder is there, but a file is missing.
        """
        size = QUICK if context.is_quick else FULL
        seeds = [context.seed + number for number in range(size.seeds)]
        benches = context.run_all(learn, [BenchTask(context.data, seed) for seed in seeds])
        tasks = longest_first(
            [
                RunTask(bench=bench, arm=arm, knob=knob, rate=rate, requests=size.requests, seed=seed)
                for seed, bench in zip(seeds, benches, strict=True)
                for rate in size.rates
                for arm in ARMS
                for knob in knobs(arm, is_quick=context.is_quick)
            ]
        )
        runs = context.run_all(run_point, tasks)
        loads = gather(tasks, runs, size, is_quick=context.is_quick, seed=context.seed)
        return write_report(
            loads,
            key=self.key,
            title=self.title,
            requests=size.requests,
            seeds=size.seeds,
            is_recorded=all(bench.workbench.questions.is_recorded for bench in benches),
        )


def knobs(arm: str, *, is_quick: bool) -> tuple[float, ...]:
    """Values of an arm's knob."""
    return ARMS[arm].quick_values if is_quick else ARMS[arm].values


def gather(
    tasks: Sequence[RunTask], runs: Sequence[PointRun], size: Size, *, is_quick: bool, seed: int
) -> Mapping[float, Frontiers]:
    """Put seeds together; by rate, then by arm, points in the order of the knob."""
    found: dict[tuple[float, str, float], list[tuple[int, PointRun]]] = defaultdict(list)
    for task, run in zip(tasks, runs, strict=True):
        found[task.rate, task.arm, task.knob].append((task.seed, run))

    def point(rate: float, arm: str, knob: float) -> Measured:
        ordered = sorted(found[rate, arm, knob], key=lambda pair: pair[0])
        return pool_seeds([run for _, run in ordered], knob=knob, seed=seed)

    return {
        rate: {arm: [point(rate, arm, knob) for knob in knobs(arm, is_quick=is_quick)] for arm in ARMS}
        for rate in size.rates
    }
