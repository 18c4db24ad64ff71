"""One sizing as a task for another process."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from loadgen.planning.closed_form import beyond_reach_share
from loadgen.planning.hardware import Hardware
from loadgen.planning.sizing import Effort
from loadgen.planning.slo import Slo
from loadgen.planning.split import ClosedForm, Question, closed_form, size_fleet
from loadgen.planning.traffic import Sizes
from loadgen.reproduce.dual_pool.arms import arm_of
from loadgen.reproduce.dual_pool.machines import A100_TP4, H100_TP4, HOMOGENEOUS, PUBLISHED
from loadgen.reproduce.dual_pool.traces import TRACES

MACHINES: dict[str, Hardware] = {"published": PUBLISHED, "h100": H100_TP4, "a100": A100_TP4}
"""By key."""

SLO = Slo(ttft_seconds=2.0, tpot_seconds=0.08)
"""As published."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SizingTask:
    """What to size.

    Attributes:
        trace: A key of `TRACES`.
        machine: A key of `MACHINES`.
        arm: A key that `arm_of` knows.
        rate: Requests per second that are simulated.
        slices: Slices of this rate that make up the load; 1 when it is simulated whole.
        seed: Of arrivals and draws.
        effort: How long runs are.
        data: The data folder, or None.
        starts: Where to start the search of each pool; empty for the closed form's answer.
    """

    trace: str
    machine: str
    arm: str
    rate: float
    seed: int
    effort: Effort
    data: Path | None
    slices: int = 1
    starts: tuple[int | None, ...] = ()

    @property
    def cell(self) -> tuple[str, str, str, float]:
        """What its seeds have in common: trace, machine, arm and whole load."""
        return (self.trace, self.machine, self.arm, self.rate * self.slices)


@dataclass(frozen=True, slots=True, kw_only=True)
class SizingResult:
    """What came of it.

    Attributes:
        instances: Of the whole load; None when no number keeps the SLO.
        pools: Instances of each pool, of the whole load.
        reason: Why there is no number.
        rejected_share: Share of the requests that no pool can hold.
        closed: The formula's answer, for two pools.
        beyond_reach_share: Share of the requests whose first token no fleet of the machine gives in time.
    """

    instances: int | None
    pools: tuple[int, ...]
    reason: str
    rejected_share: float
    closed: ClosedForm | None
    beyond_reach_share: float = 0.0


def run_sizing(task: SizingTask) -> SizingResult:
    """Size one fleet.

    Raises:
        FileNotFoundError: The data folder lacks the trace.
    """
    arm = arm_of(task.arm)
    question = Question(
        hardware=MACHINES[task.machine],
        sizes=sizes_of(task.trace, task.data),
        rate=task.rate,
        slo=SLO,
        effort=task.effort,
        seed=task.seed,
        balance=arm.balance,
    )
    need = size_fleet(question, arm.shapes, arm.thresholds, starts=task.starts)
    pools = tuple((pool.sized.instances or 0) * task.slices for pool in need.pools)
    is_dual = len(arm.shapes) == 2
    return SizingResult(
        instances=None if need.instances is None else need.instances * task.slices,
        pools=pools,
        reason=need.reason,
        rejected_share=need.rejected_share,
        closed=closed_form(question, arm.shapes[0], HOMOGENEOUS, arm.thresholds[0]) if is_dual else None,
        beyond_reach_share=beyond_reach_share(HOMOGENEOUS, question.hardware, question.sizes, SLO),
    )


@lru_cache(maxsize=len(TRACES))
def sizes_of(trace: str, data: Path | None) -> Sizes:
    """A trace, read once per process."""
    return TRACES[trace](data, 1)
