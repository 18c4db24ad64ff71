"""All runs of the study, and the figures over any part of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from loadgen.reproduce.laar.accuracy import Cell, Language
from loadgen.reproduce.laar.runs import Point, joined
from loadgen.virtual.frontier import Measure, ratios_at_success
from loadgen.virtual.summary import Figure, Floats, Summary

MEASURES: Sequence[Measure] = ("mean_seconds_all", "ttca_mean_seconds")


def figure_of(value: float, resamples: Floats) -> Figure:
    """A figure with the 95 % interval of its resamples; those that are not finite are left out."""
    known = resamples[np.isfinite(resamples)]
    if not len(known):
        return Figure(value, float("nan"), float("nan"))
    low, high = np.quantile(known, (0.025, 0.975))
    return Figure(value, float(low), float(high))


@dataclass(frozen=True, slots=True, kw_only=True)
class Equal:
    """An arm against one point of a baseline at one length, at that point's final success.

    Attributes:
        length: Prompt tokens; all languages together.
        cap: The baseline's retry cap.
        success: Its final success.
        value: Ratio of the times.
        resamples: The same in every resample of the questions.
    """

    length: int
    cap: float
    success: float
    value: float
    resamples: Floats

    @property
    def figure(self) -> Figure:
        """The ratio with its interval."""
        return figure_of(self.value, self.resamples)


class Results:
    """Points of several arms.

    Args:
        points: All runs.
        seed: Of the resamples.
    """

    def __init__(self, points: Sequence[Point], seed: int) -> None:
        self._points = points
        self._seed = seed
        self._known: dict[tuple[str, float, tuple[Cell, ...]], Summary] = {}
        self.cells = tuple(sorted({point.cell for point in points}))
        self.lengths = tuple(sorted({cell.length for cell in self.cells}))

    def knobs(self, arm: str) -> tuple[float, ...]:
        """Values of an arm's knob that were run, ascending."""
        return tuple(sorted({point.knob for point in self._points if point.arm == arm}))

    def summary(self, arm: str, knob: float | None = None, *, cells: Sequence[Cell] | None = None) -> Summary:
        """Figures of an arm over some cells (all when None) at one value of its knob (the largest when None).

        Raises:
            ValueError: Nothing of the kind was run.
        """
        at = self.knobs(arm)[-1] if knob is None else knob
        over = self.cells if cells is None else tuple(cells)
        key = (arm, at, over)
        if key not in self._known:
            wanted = set(over)
            found = [p for p in self._points if p.arm == arm and p.knob == at and p.cell in wanted]
            if not found:
                raise ValueError(f"no run of {arm} at {at} in {[cell.name for cell in over]}")
            self._known[key] = joined(found, seed=self._seed)
        return self._known[key]

    def of_length(self, length: int) -> tuple[Cell, ...]:
        """The cells of one length."""
        return tuple(cell for cell in self.cells if cell.length == length)

    def of_language(self, language: Language) -> tuple[Cell, ...]:
        """The cells of one language, shortest first."""
        return tuple(cell for cell in self.cells if cell.language is language)

    def ratio(
        self, arm: str, baseline: str, measure: Measure, *, cells: Sequence[Cell] | None = None
    ) -> tuple[float, Floats]:
        """Mean time of an arm over a baseline's, each at its largest knob, whatever their success."""
        ours, theirs = self.summary(arm, cells=cells), self.summary(baseline, cells=cells)
        value = ours.figures[measure].value / theirs.figures[measure].value
        return value, seconds_of(ours, measure) / seconds_of(theirs, measure)

    def equal(self, arm: str, baseline: str, measure: Measure) -> list[Equal]:
        """An arm against the points of a baseline at every length, at equal final success.

        Points that another of the same arm beats in success and in time are left out on both sides, and points of the
        baseline whose success the arm does not reach.
        """
        found = []
        for length in self.lengths:
            cells = self.of_length(length)
            frontier = self._undominated(arm, measure, cells)
            for theirs in self._undominated(baseline, measure, cells):
                value, resamples = ratios_at_success(frontier, theirs, measure)
                if np.isfinite(value):
                    success = theirs.figures["success"].value
                    found.append(
                        Equal(
                            length=length,
                            cap=theirs.knob,
                            success=success,
                            value=value,
                            resamples=resamples,
                        )
                    )
        return found

    def _undominated(self, arm: str, measure: Measure, cells: Sequence[Cell]) -> list[Summary]:
        """Points of an arm that no other one beats, the first of equal ones, in the order of the knob."""
        points = [self.summary(arm, knob, cells=cells) for knob in self.knobs(arm)]
        merits = [(-point.figures["success"].value, point.figures[measure].value) for point in points]
        return [
            point
            for index, (point, mine) in enumerate(zip(points, merits, strict=True))
            if math.isfinite(mine[1])
            and not any(
                other[0] <= mine[0] and other[1] <= mine[1] and (other != mine or place < index)
                for place, other in enumerate(merits)
            )
        ]


def seconds_of(summary: Summary, measure: Measure) -> Floats:
    """Mean time by resample."""
    return summary.seconds_all if measure == "mean_seconds_all" else summary.seconds_solved


def geometric_mean(found: Sequence[Equal], wanted: Callable[[Equal], bool] = lambda _: True) -> Figure:
    """Geometric mean over comparisons; NaN for none. A resample in which one is unknown leaves that one out."""
    chosen = [equal for equal in found if wanted(equal)]
    if not chosen:
        return Figure(float("nan"), float("nan"), float("nan"))
    value = float(np.exp(np.mean([np.log(equal.value) for equal in chosen])))
    logs = np.log(np.array([equal.resamples for equal in chosen]))
    known = np.isfinite(logs)
    sums = np.where(known, logs, 0.0).sum(axis=0)
    counts = np.where(known.any(axis=0), known.sum(axis=0), np.nan)
    return figure_of(value, np.exp(sums / counts))
