"""From a figure to a verdict, by rules that are the same for every finding."""

from __future__ import annotations

from loadgen.reproduce.findings import Verdict
from loadgen.virtual.summary import Figure


def judge_sign(ours: Figure, *, is_above: bool, bound: float = 0.0) -> Verdict:
    """Whether a figure is above (or below) a bound: by its whole interval, by its value alone, or not.

    Args:
        ours: What was measured.
        is_above: What is claimed.
        bound: Of the claim: 0 for a difference, 1 for a ratio.
    """
    if is_above:
        holds, leans = ours.low > bound, ours.value > bound
    else:
        holds, leans = ours.high < bound, ours.value < bound
    if holds:
        return Verdict.HOLDS
    return Verdict.CONDITIONAL if leans else Verdict.FAILS


def judge_range(ours: Figure, low: float, high: float) -> Verdict:
    """Whether a figure lies within a range, or at least its interval touches it."""
    if low <= ours.value <= high:
        return Verdict.HOLDS
    return Verdict.CONDITIONAL if ours.low <= high and ours.high >= low else Verdict.FAILS


def judge_effect(ours: Figure, published: tuple[float, float], *, none: float = 1.0) -> Verdict:
    """Whether an effect is there and of the published size; with conditions when it is there but of another size.

    Args:
        ours: What was measured.
        published: Range of the published effect, both ends on one side of `none`.
        none: Value without any effect.
    """
    direction = judge_sign(ours, is_above=min(published) > none, bound=none)
    if direction is Verdict.HOLDS and judge_range(ours, *published) is Verdict.FAILS:
        return Verdict.CONDITIONAL
    return direction
