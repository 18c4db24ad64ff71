"""What the nearest neighbours are worth on a task of which they have seen nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from loadgen.reproduce.findings import Finding
from loadgen.reproduce.route_balance.measured import RESAMPLES, figure
from loadgen.reproduce.route_balance.published.missing import not_reproduced
from loadgen.reproduce.route_balance.unseen import PUBLISHED_TASK, Unseen, resampled_mean
from loadgen.reproduce.route_balance.verdicts import judge_effect, judge_sign
from loadgen.virtual.summary import Figure

_KEY: Final = "neighbours_unseen"
_CLAIM: Final = f"Without {PUBLISHED_TASK} among the neighbours, their choice on it falls below a random one."
_PUBLISHED: Final = "0.32 to 0.23, random 0.25"


def out_of_distribution(judged: Sequence[Unseen], *, seed: int) -> list[Finding]:
    """On the published task and on all of them.

    Args:
        judged: The tasks; empty without recorded texts.
        seed: Of the resamples.
    """
    if not judged:
        reason = "needs recorded texts: generated questions have no words that mean anything"
        return [not_reproduced(_KEY, _CLAIM, _PUBLISHED, reason)]
    return [
        _on_published_task([one for one in judged if one.task == PUBLISHED_TASK], seed),
        _on_all_tasks(judged, seed),
        _lost_by_leaving_out(judged, seed),
    ]


def _on_published_task(tasks: Sequence[Unseen], seed: int) -> Finding:
    ours = _less_random(tasks, seed)
    at = ", ".join(
        f"{name} {float(np.mean([getattr(one, name).mean() for one in tasks])):.2f}"
        for name in ("seen", "unseen", "random")
    )
    return Finding(
        key=_KEY,
        claim=_CLAIM,
        published=_PUBLISHED,
        ours=ours,
        unit="",
        verdict=judge_sign(ours, is_above=False),
        reason=f"quality less random's ({at}); six models whose accuracy on the task lies far apart, and other tasks that still point to the good ones",
    )


def _on_all_tasks(tasks: Sequence[Unseen], seed: int) -> Finding:
    ours = _less_random(tasks, seed)
    below = sum(one.unseen.mean() < one.random.mean() for one in tasks)
    return Finding(
        key="neighbours_unseen_all_tasks",
        claim="The same over all tasks, each left out in turn: below random.",
        published="",
        ours=ours,
        unit="",
        verdict=judge_sign(ours, is_above=False),
        reason=f"mean over {len(tasks)} tasks of quality less random's; below it on {below} of them",
    )


def _lost_by_leaving_out(tasks: Sequence[Unseen], seed: int) -> Finding:
    ours = figure(resampled_mean([one.unseen - one.seen for one in tasks], resamples=RESAMPLES, seed=seed))
    return Finding(
        key="neighbours_lose",
        claim="Leaving a task out costs the nearest neighbours quality on it.",
        published="-0.09 on gsm8k",
        ours=ours,
        unit="",
        verdict=judge_effect(ours, (-0.13, -0.05), none=0.0),
        reason="mean over all tasks",
    )


def _less_random(tasks: Sequence[Unseen], seed: int) -> Figure:
    """Quality of the neighbours' choice on unseen tasks less that of a random one."""
    return figure(resampled_mean([one.unseen - one.random for one in tasks], resamples=RESAMPLES, seed=seed))
