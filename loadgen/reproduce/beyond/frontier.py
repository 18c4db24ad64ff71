"""Comparison at equal final success: what each arm needs for a success that both reach.

An arm's points over its knob are a frontier: of two points, one with no less success and no more time is kept. Between two
neighbours an operator may mix, so that the frontier is read off linearly; below its lowest success an arm needs
what its lowest point needs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from loadgen.reproduce.beyond.measure import RESAMPLES, Floats, Measured
from loadgen.virtual.summary import Figure

Frontiers = Mapping[str, Sequence[Measured]]
"""Points by arm, at one load."""


def read_off(success: Floats, needs: Floats, target: float) -> float:
    """What an arm needs for a success; NaN when no point reaches it.

    Args:
        success: Of each point, in any order.
        needs: Of each point, such as seconds.
        target: Success to reach at least.
    """
    order = np.lexsort((needs, -success))
    kept: list[tuple[float, float]] = []
    for index in order:
        if not kept or needs[index] < kept[-1][1]:
            kept.append((float(success[index]), float(needs[index])))
    if not kept or kept[0][0] < target:
        return math.nan
    above = kept[0]
    for point in kept[1:]:
        if point[0] < target:
            share = (target - point[0]) / (above[0] - point[0])
            return point[1] + share * (above[1] - point[1])
        above = point
    return above[1]


@dataclass(frozen=True, slots=True)
class Reading:
    """A metric at a success: over all questions, and by resample, shape (RESAMPLES,)."""

    value: float
    resamples: Floats

    def figure(self) -> Figure:
        """With its 95 % interval; NaN bounds when few resamples reach the success."""
        known = self.resamples[np.isfinite(self.resamples)]
        if len(known) < RESAMPLES // 2:
            return Figure(self.value, math.nan, math.nan)
        low, high = np.quantile(known, (0.025, 0.975))
        return Figure(self.value, float(low), float(high))


def read_metric(points: Sequence[Measured], metric: str, target: float, targets: Floats) -> Reading:
    """Read a metric off an arm's frontier.

    Args:
        points: Of the arm.
        metric: What is read, less being better.
        target: Success over all questions.
        targets: The same by resample.
    """
    success = np.array([point.resamples["success"] for point in points])
    needs = np.array([point.resamples[metric] for point in points])
    value = read_off(
        np.array([point.values["success"] for point in points]),
        np.array([point.values[metric] for point in points]),
        target,
    )
    found = [
        read_off(success[:, index], needs[:, index], float(targets[index])) for index in range(len(targets))
    ]
    return Reading(value, np.array(found))


def at_share(points: Sequence[Measured], metric: str, target: float) -> Reading:
    """Read a metric off at a fixed success, the same in every resample."""
    return read_metric(points, metric, target, np.full(RESAMPLES, target))


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Our arm against one baseline at the success of one of its points.

    Attributes:
        arm: The baseline.
        knob: Value of its knob.
        success: Final success.
        ratio: Ours over the baseline's.
    """

    arm: str
    knob: float
    success: float
    ratio: Reading


def compare_points(
    ours: Sequence[Measured], arm: str, points: Sequence[Measured], metric: str
) -> list[Comparison]:
    """Compare at the success of every point of a baseline's frontier that ours reaches."""
    found = []
    for point in points:
        target, targets = point.values["success"], point.resamples["success"]
        mine = read_metric(ours, metric, target, targets)
        theirs = read_metric(points, metric, target, targets)
        if math.isfinite(mine.value):
            ratio = Reading(mine.value / theirs.value, mine.resamples / theirs.resamples)
            found.append(Comparison(arm=arm, knob=point.knob, success=target, ratio=ratio))
    return found


def against_best(frontiers: Frontiers, ours: str, baselines: Sequence[str], metric: str) -> list[Comparison]:
    """At the success of every baseline's point, against the baseline that needs least for it."""
    found = []
    for arm in baselines:
        for point in frontiers[arm]:
            target, targets = point.values["success"], point.resamples["success"]
            needs = {
                name: read_off(
                    np.array([one.values["success"] for one in frontiers[name]]),
                    np.array([one.values[metric] for one in frontiers[name]]),
                    target,
                )
                for name in baselines
            }
            best = min(needs, key=lambda name: needs[name] if math.isfinite(needs[name]) else math.inf)
            # Other baselines have their own points; each success is judged once, by whoever is best at it.
            if best != arm:
                continue
            mine = read_metric(frontiers[ours], metric, target, targets)
            if math.isfinite(mine.value):
                theirs = read_metric(frontiers[best], metric, target, targets)
                ratio = Reading(mine.value / theirs.value, mine.resamples / theirs.resamples)
                found.append(Comparison(arm=best, knob=point.knob, success=target, ratio=ratio))
    return found


def mean_ratio(comparisons: Sequence[Comparison]) -> Reading:
    """Geometric mean over comparisons; NaN for none."""
    if not comparisons:
        return Reading(math.nan, np.full(RESAMPLES, math.nan))
    logs = np.log([comparison.ratio.resamples for comparison in comparisons])
    known = np.isfinite(logs)
    with np.errstate(invalid="ignore"):
        resampled = np.where(known, logs, 0.0).sum(axis=0) / np.where(
            known.any(axis=0), known.sum(axis=0), np.nan
        )
    value = math.exp(sum(math.log(one.ratio.value) for one in comparisons) / len(comparisons))
    return Reading(value, np.exp(resampled))
