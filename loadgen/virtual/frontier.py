"""Comparison at equal final success: giving up is a decision too, so that times alone say nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from loadgen.virtual.summary import Figure, Floats, Summary

Measure = Literal["mean_seconds_all", "ttca_mean_seconds"]
"""Mean time over all requests, or mean TTCA over solved ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One arm against one point of a baseline, at that point's success.

    Attributes:
        knob: Knob of the baseline's point.
        success: Its final success.
        all_ratio: Mean time over all requests, arm over baseline.
        solved_ratio: Mean TTCA over solved requests, arm over baseline.
    """

    knob: float
    success: float
    all_ratio: Figure
    solved_ratio: Figure


def compare(arm: Sequence[Summary], baseline: Summary) -> Comparison | None:
    """Read an arm's frontier off at the baseline's success; None when it does not reach it.

    The same resamples of the questions are taken on both sides, and the frontier is read off anew in each. Resamples
    in which the arm does not reach the success are left out.
    """
    reached = [point.figures["success"].value for point in arm]
    target = baseline.figures["success"].value
    if not reached or not min(reached) <= target <= max(reached):
        return None
    return Comparison(
        knob=baseline.knob,
        success=target,
        all_ratio=_ratio(arm, baseline, "mean_seconds_all"),
        solved_ratio=_ratio(arm, baseline, "ttca_mean_seconds"),
    )


def _ratio(arm: Sequence[Summary], baseline: Summary, name: Measure) -> Figure:
    value, ratios = ratios_at_success(arm, baseline, name)
    known = ratios[np.isfinite(ratios)]
    low, high = np.quantile(known, (0.025, 0.975)) if len(known) else (np.nan, np.nan)
    return Figure(value, float(low), float(high))


def ratios_at_success(arm: Sequence[Summary], baseline: Summary, name: Measure) -> tuple[float, Floats]:
    """An arm's time over the baseline's at the baseline's success, and the same in every resample of the questions.

    Args:
        arm: Points of its frontier, in any order, at least one.
        baseline: The point to compare with, of the same questions, resampled alike.
        name: Which time.

    Returns:
        The ratio and its resamples; NaN where the arm does not reach the success.
    """
    success = np.array([point.success for point in arm])
    attribute = "seconds_all" if name == "mean_seconds_all" else "seconds_solved"
    seconds = np.array([getattr(point, attribute) for point in arm])
    of_baseline = getattr(baseline, attribute)
    ratios = np.array(
        [
            at_success(success[:, index], seconds[:, index], float(baseline.success[index]))
            / of_baseline[index]
            for index in range(len(baseline.success))
        ]
    )
    value = at_success(
        np.array([point.figures["success"].value for point in arm]),
        np.array([point.figures[name].value for point in arm]),
        baseline.figures["success"].value,
    )
    return value / baseline.figures[name].value, ratios


def at_success(success: Floats, seconds: Floats, target: float) -> float:
    """Seconds at a success between two points, linearly; NaN outside the frontier.

    Args:
        success: Final success of each point, in any order.
        seconds: Of each point.
        target: Success to read off at.
    """
    order = np.argsort(success, kind="stable")
    ascending = success[order]
    if not ascending[0] <= target <= ascending[-1]:
        return float("nan")
    return float(np.interp(target, ascending, seconds[order]))
