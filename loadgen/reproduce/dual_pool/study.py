"""The dual-pool study: what is run, and the report."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter

from loadgen.reproduce.dual_pool.machines import PUBLISHED
from loadgen.reproduce.dual_pool.scale import FULL, LARGE_RATE, QUICK, SMALL_RATE, large_tasks, small_tasks
from loadgen.reproduce.dual_pool.size_findings import closed_form_finding, savings_findings, threshold_finding
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
        tasks = list(small_tasks(scale, context.data, context.seed))
        results = context.run_all(run_sizing, tasks)
        small = Sizes.of(tasks, results)
        pools = {
            (trace, arm): small.pools((trace, "published", arm, SMALL_RATE))
            for trace in TRACES
            for arm in scale.arms
        }
        more = list(large_tasks(scale, context.data, context.seed, pools))
        sizes = Sizes.of([*tasks, *more], [*results, *context.run_all(run_sizing, more)])
        large = [LARGE_RATE] if scale.large_seeds else [SMALL_RATE]
        return StudyReport(
            key=self.key,
            title=self.title,
            setting=_setting(is_recorded=context.data is not None),
            findings=(*savings_findings(sizes), threshold_finding(sizes), closed_form_finding(sizes)),
            tables=(fleet_table(sizes), threshold_table(sizes)),
            charts=(
                fleet_chart(sizes, "published", large[0]),
                *(fleet_chart(sizes, machine, SMALL_RATE) for machine in scale.machines),
                threshold_chart(sizes),
            ),
            is_recorded=context.data is not None,
            seconds=perf_counter() - started,
        )


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
