"""How much is run: the full study and the quick one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from loadgen.planning.sizing import Effort
from loadgen.reproduce.dual_pool.machines import MEMORY_CASES
from loadgen.reproduce.dual_pool.sizing_tasks import SizingTask
from loadgen.reproduce.dual_pool.traces import TRACES

SMALL_RATE = 100.0
LARGE_RATE = 1000.0

SLICES = {"a100": 4}
"""Machines that need hundreds of instances are sized for a part of the load."""

THRESHOLDS = (2_048, 4_096, 8_192, 16_384, 32_768)
"""Of the sensitivity; the short pool's slots shrink as its context grows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How much is run.

    Attributes:
        seeds: At 100 requests per second, as published.
        threshold_seeds: For thresholds.
        machine_seeds: For measured machines.
        large_seeds: At 1,000 requests per second; 0 to leave it out.
        effort: At 100 requests per second.
        large_effort: At 1,000.
        slow_effort: For machines that need many instances.
        thresholds: Of the sensitivity.
        machines: Measured machines that are run as well.
        arms: At 100 requests per second, as published.
        felt_seeds: Runs of each case of what users feel.
        felt_seconds: Virtual time of each that counts.
        memory: KV memories that preemptions are counted with, tokens.
        misroute_requests: Requests that each estimator routes.
    """

    seeds: int
    threshold_seeds: int
    machine_seeds: int
    large_seeds: int
    effort: Effort
    large_effort: Effort
    slow_effort: Effort
    thresholds: tuple[int, ...]
    machines: tuple[str, ...]
    arms: tuple[str, ...]
    felt_seeds: int
    felt_seconds: float
    memory: tuple[int, ...]
    misroute_requests: int


FULL = Scale(
    seeds=3,
    threshold_seeds=2,
    machine_seeds=3,
    large_seeds=3,
    effort=Effort(counted_seconds=60.0, counted_requests=3_000),
    large_effort=Effort(counted_seconds=20.0, counted_requests=3_000, precision=0.01),
    slow_effort=Effort(counted_seconds=45.0, counted_requests=2_000, precision=0.02),
    thresholds=THRESHOLDS,
    machines=("h100", "a100"),
    arms=("published_baseline", "homogeneous", "honest", "honest_2k", "dual", "triple"),
    felt_seeds=3,
    felt_seconds=45.0,
    memory=tuple(MEMORY_CASES),
    misroute_requests=5_000,
)
QUICK = Scale(
    seeds=3,
    threshold_seeds=1,
    machine_seeds=1,
    large_seeds=0,
    effort=Effort(counted_seconds=15.0, counted_requests=1_200),
    large_effort=Effort(),
    slow_effort=Effort(counted_seconds=15.0, counted_requests=1_000, precision=0.04),
    thresholds=(4_096, 8_192, 16_384, 32_768),
    machines=("h100",),
    arms=("published_baseline", "homogeneous", "honest", "dual"),
    felt_seeds=2,
    felt_seconds=10.0,
    memory=(max(MEMORY_CASES), min(MEMORY_CASES)),
    misroute_requests=1_500,
)

COMPARED = ("homogeneous", "honest", "dual")
"""Arms on measured machines and at 1,000 requests per second."""


def small_tasks(scale: Scale, data: Path | None, seed: int) -> Iterator[SizingTask]:
    """Every sizing at 100 requests per second, the longest first."""
    first = SizingTask(
        trace="azure",
        machine="published",
        arm="dual",
        rate=SMALL_RATE,
        seed=1000 * seed,
        effort=scale.effort,
        data=data,
    )
    for machine in reversed(scale.machines):
        for trace in TRACES:
            for arm in COMPARED:
                slices = SLICES.get(machine, 1)
                slow = replace(
                    first,
                    machine=machine,
                    trace=trace,
                    arm=arm,
                    effort=scale.slow_effort,
                    rate=SMALL_RATE / slices,
                    slices=slices,
                )
                yield from _seeds(slow, scale.machine_seeds)
    for trace in TRACES:
        for arm in scale.arms:
            yield from _seeds(replace(first, trace=trace, arm=arm), scale.seeds)
        for threshold in scale.thresholds:
            yield from _seeds(replace(first, trace=trace, arm=f"dual_{threshold}"), scale.threshold_seeds)


def _seeds(first: SizingTask, count: int) -> Iterator[SizingTask]:
    return (replace(first, seed=first.seed + number) for number in range(count))


def large_tasks(
    scale: Scale, data: Path | None, seed: int, pools: dict[tuple[str, str], tuple[int, ...]]
) -> Iterator[SizingTask]:
    """Sizings at 1,000 requests per second, begun where those at 100 say.

    Args:
        scale: How much is run.
        data: The data folder, or None.
        seed: Of everything.
        pools: Instances of each pool at 100 requests per second, by trace and arm.
    """
    factor = LARGE_RATE / SMALL_RATE
    for trace in TRACES:
        for arm in COMPARED:
            for number in range(scale.large_seeds):
                yield SizingTask(
                    trace=trace,
                    machine="published",
                    arm=arm,
                    rate=LARGE_RATE,
                    seed=1000 * seed + 100 + number,
                    effort=scale.large_effort,
                    data=data,
                    starts=tuple(max(1, round(0.97 * factor * count)) for count in pools[trace, arm]),
                )
