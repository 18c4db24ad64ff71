"""The dual-pool study: what is run, and the report."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter

from loadgen.reproduce.dual_pool.felt import (
    ROUTED_ARMS,
    FeltBook,
    felt_table,
    felt_tasks,
    memory_chart,
    memory_table,
    router_table,
)
from loadgen.reproduce.dual_pool.felt_findings import felt_findings
from loadgen.reproduce.dual_pool.load_tasks import run_load
from loadgen.reproduce.dual_pool.machines import PUBLISHED
from loadgen.reproduce.dual_pool.misroute_findings import Misroutes, misroute_findings, misroute_table
from loadgen.reproduce.dual_pool.misroutes import MisrouteTask, run_misroutes
from loadgen.reproduce.dual_pool.scale import (
    FULL,
    LARGE_RATE,
    QUICK,
    SMALL_RATE,
    Scale,
    large_tasks,
    small_tasks,
)
from loadgen.reproduce.dual_pool.size_findings import (
    closed_form_finding,
    savings_findings,
    third_pool_finding,
    threshold_finding,
)
from loadgen.reproduce.dual_pool.size_tables import fleet_chart, fleet_table, threshold_chart, threshold_table
from loadgen.reproduce.dual_pool.sizes import Sizes
from loadgen.reproduce.dual_pool.sizing_tasks import run_sizing
from loadgen.reproduce.dual_pool.traces import TRACES
from loadgen.reproduce.findings import StudyReport
from loadgen.reproduce.study import StudyContext


@dataclass(frozen=True, slots=True)
class DualPoolStudy:
    """Pools by context length, sized under an SLO (arXiv 2604.08075 and 2604.09613)."""

    key: str = "dual_pool"
    title: str = "Dual pools by token budget"

    def run(self, context: StudyContext) -> StudyReport:
        """Size the fleets and judge what is published.

        Raises:
            FileNotFoundError: The data folder lacks the trace.
        """
        started = perf_counter()
        scale = QUICK if context.is_quick else FULL
        sizes = _sized(context, scale)
        felt = _felt(context, scale, sizes)
        misroutes = _misrouted(context, scale)
        return StudyReport(
            key=self.key,
            title=self.title,
            setting=_setting(is_recorded=context.data is not None),
            findings=(
                *savings_findings(sizes),
                threshold_finding(sizes),
                third_pool_finding(sizes),
                closed_form_finding(sizes),
                *felt_findings(felt),
                *misroute_findings(misroutes),
            ),
            tables=(
                fleet_table(sizes),
                threshold_table(sizes),
                felt_table(felt),
                memory_table(felt),
                router_table(felt),
                misroute_table(misroutes),
            ),
            charts=(
                fleet_chart(sizes, "published", LARGE_RATE if scale.large_seeds else SMALL_RATE),
                *(fleet_chart(sizes, machine, SMALL_RATE) for machine in scale.machines),
                threshold_chart(sizes),
                memory_chart(felt),
            ),
            is_recorded=context.data is not None,
            seconds=perf_counter() - started,
        )


def _sized(context: StudyContext, scale: Scale) -> Sizes:
    tasks = list(small_tasks(scale, context.data, context.seed))
    results = context.run_all(run_sizing, tasks)
    small = Sizes.of(tasks, results)
    pools = {
        (trace, arm): small.pools((trace, "published", arm, SMALL_RATE))
        for trace in TRACES
        for arm in scale.arms
    }
    more = list(large_tasks(scale, context.data, context.seed, pools))
    return Sizes.of([*tasks, *more], [*results, *context.run_all(run_sizing, more)])


def _felt(context: StudyContext, scale: Scale, sizes: Sizes) -> FeltBook:
    tasks = list(
        felt_tasks(
            context.data,
            context.seed,
            seeds=scale.felt_seeds,
            counted_seconds=scale.felt_seconds,
            memory=scale.memory,
            pools={arm: sizes.pools(("azure_tailed", "published", arm, SMALL_RATE)) for arm in ROUTED_ARMS},
        )
    )
    return FeltBook.of(tasks, context.run_all(run_load, tasks))


def _misrouted(context: StudyContext, scale: Scale) -> Misroutes:
    tasks = [
        MisrouteTask(
            trace=trace,
            threshold=threshold,
            requests=scale.misroute_requests,
            seed=context.seed,
            data=context.data,
        )
        for trace, threshold in (
            ("azure_tailed", 8_192),
            ("azure_tailed", 4_096),
            ("azure", 4_096),
            ("lmsys", 8_192),
        )
    ]
    found = context.run_all(run_misroutes, tasks)
    return {(task.trace, task.threshold): one for task, one in zip(tasks, found, strict=True)}


def _setting(*, is_recorded: bool) -> str:
    speed = PUBLISHED.speed
    return (
        "Fleets of one 70B model in virtual time: Poisson arrivals, every instance an engine with continuous batching, "
        "the fewest instances searched for under P99 TTFT 2 s and P99 TPOT 80 ms. The published machine is not "
        f"described fully; W = {1e3 * speed.base_seconds:.1f} ms and H = {1e3 * speed.per_sequence_seconds:.3f} ms are "
        "solved for so that an instance does the published 2.8 requests/s with 16 sequences and 11.2 with 128, and its "
        "KV cache holds what the published table needs (16 x 64K = 128 x 8K tokens). Beside it stand two machines with "
        "measured speeds and the KV memory that they have. Token counts: "
        + ("the recorded" if is_recorded else "figures fitted to the")
        + " Azure trace, the same with the tail that the papers describe, and LMSYS-shaped ones."
    )
