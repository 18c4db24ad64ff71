"""The sizings put together: instances and savings with intervals over seeds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf, sqrt
from statistics import fmean, stdev

from loadgen.reproduce.dual_pool.sizing_tasks import SizingResult, SizingTask
from loadgen.virtual.summary import Figure

Cell = tuple[str, str, str, float]
"""Trace, machine, arm and requests per second."""

_STUDENT_T = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262}
"""Two-sided 95 % quantiles, by degrees of freedom."""


def over_seeds(values: Sequence[float], *, floor: float = -inf) -> Figure:
    """Mean of a few runs with its 95 % interval by Student's t; a single run has no width.

    Args:
        values: One per run.
        floor: What the quantity cannot be below, so neither can the interval.

    Raises:
        ValueError: There is no value, or more than ten.
    """
    if not 1 <= len(values) <= len(_STUDENT_T) + 1:
        raise ValueError(f"between one and ten values have an interval here, not {len(values)}")
    mean = fmean(values)
    if len(values) == 1:
        return Figure(mean, mean, mean)
    half = _STUDENT_T[len(values) - 1] * stdev(values) / sqrt(len(values))
    return Figure(mean, max(floor, mean - half), mean + half)


@dataclass(frozen=True, slots=True)
class Sizes:
    """Results by cell, in the order of the seeds."""

    by_cell: Mapping[Cell, tuple[SizingResult, ...]]

    @classmethod
    def of(cls, tasks: Sequence[SizingTask], results: Sequence[SizingResult]) -> Sizes:
        """Collect results under what their tasks have in common."""
        found: defaultdict[Cell, list[SizingResult]] = defaultdict(list)
        for task, result in zip(tasks, results, strict=True):
            found[task.cell].append(result)
        return cls({cell: tuple(several) for cell, several in found.items()})

    def instances(self, cell: Cell) -> Figure | None:
        """Instances needed; None when the cell was not run, or no number keeps the SLO."""
        counts = [result.instances for result in self.by_cell.get(cell, ())]
        found = [float(count) for count in counts if count is not None]
        return over_seeds(found, floor=0.0) if found and len(found) == len(counts) else None

    def pools(self, cell: Cell) -> tuple[int, ...]:
        """Instances of each pool: the rounded mean over the seeds."""
        several = self.by_cell[cell]
        return tuple(round(fmean(counts)) for counts in zip(*(r.pools for r in several), strict=True))

    def savings(self, cell: Cell, against: str) -> Figure | None:
        """Share of the instances saved against another arm, in per cent: seed by seed."""
        trace, machine, _, rate = cell
        pairs = zip(
            self.by_cell.get(cell, ()), self.by_cell.get((trace, machine, against, rate), ()), strict=False
        )
        found = [
            100.0 * (1 - ours.instances / theirs.instances)
            for ours, theirs in pairs
            if ours.instances is not None and theirs.instances
        ]
        return over_seeds(found) if found else None

    def closed_savings(self, cell: Cell) -> float | None:
        """What the formula says, in per cent; None for fleets that do not have two pools."""
        several = self.by_cell.get(cell)
        if not several or several[0].closed is None:
            return None
        return 100.0 * several[0].closed.savings
