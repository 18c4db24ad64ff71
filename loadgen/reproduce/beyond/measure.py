"""Figures of a run as sums, by resample of the questions, so that seeds can be added up before anything is divided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from loadgen.virtual.simulation import Run, Story
from loadgen.virtual.summary import Figure

Floats = npt.NDArray[np.float64]

RESAMPLES = 400
WARM_UP_SHARE = 0.1
"""Share of the requests, the first ones, that are not counted: the fleet starts empty."""

DEADLINES_SECONDS = (5.0, 10.0, 30.0)

METRICS: Mapping[str, tuple[str, str]] = {
    "success": ("solved", "requests"),
    "first": ("first", "requests"),
    "all_seconds": ("seconds", "requests"),
    "ttca_seconds": ("solved_seconds", "solved"),
    "attempts": ("attempts", "requests"),
    "usd": ("usd", "solved"),
    "gpu_seconds": ("gpu_seconds", "solved"),
    **{f"within_{limit:g}": (f"within_{limit:g}", "requests") for limit in DEADLINES_SECONDS},
}
"""Each figure as a quotient of two sums; money and GPU time are per correct answer."""

Sums = Mapping[str, Floats]
"""By name, shape (1 + RESAMPLES,): over all requests, then over each resample of the questions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PointRun:
    """One run of one arm at one value of its knob; `busy_share` is the mean over instances."""

    sums: Sums
    busy_share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One point over all seeds.

    Attributes:
        knob: Value of the arm's knob.
        values: Of every metric.
        resamples: Of every metric, shape (RESAMPLES,); the i-th draws the same seeds for every arm.
        busy_share: Mean share of the time that engines computed.
    """

    knob: float
    values: Mapping[str, float]
    resamples: Mapping[str, Floats]
    busy_share: float

    def figure(self, metric: str) -> Figure:
        """A metric with its 95 % interval."""
        low, high = np.nanquantile(self.resamples[metric], (0.025, 0.975))
        return Figure(self.values[metric], float(low), float(high))


def measure(run: Run, gpus: Mapping[str, int], *, seed: int) -> PointRun:
    """Sum up a run.

    Args:
        run: At least ten requests.
        gpus: Of each instance.
        seed: Of the resamples; runs on the same questions with the same seed are resampled alike.
    """
    stories = run.stories[int(WARM_UP_SHARE * len(run.stories)) :]
    weights = np.vstack([np.ones(len(stories)), _resampled(stories, seed)])
    sums = {name: weights @ column for name, column in _columns(stories).items()}
    # GPU time cannot be told apart by question: each counted request stands for its share of the whole run's.
    whole = sum(seconds * gpus[address] for address, seconds in run.busy_seconds.items())
    sums["gpu_seconds"] = sums["requests"] * (whole / len(run.stories))
    busy = float(np.mean(list(run.busy_seconds.values()))) / run.seconds
    return PointRun(sums=sums, busy_share=busy)


def pool_seeds(runs: Sequence[PointRun], *, knob: float, seed: int) -> Measured:
    """Put the seeds of a point together: each resample draws seeds anew, and questions within each.

    Args:
        runs: One per seed.
        knob: Value of the arm's knob.
        seed: Of the draws of seeds; the same for every point that is to be compared.
    """
    drawn = np.random.default_rng(seed).integers(0, len(runs), (RESAMPLES, len(runs)))
    columns = np.arange(1, RESAMPLES + 1)
    totals: dict[str, float] = {}
    resampled: dict[str, Floats] = {}
    for name in runs[0].sums:
        stacked = np.vstack([run.sums[name] for run in runs])
        totals[name] = float(stacked[:, 0].sum())
        resampled[name] = np.sum([stacked[drawn[:, place], columns] for place in range(len(runs))], axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return Measured(
            knob=knob,
            values={
                name: totals[over] / totals[under] if totals[under] else float("nan")
                for name, (over, under) in METRICS.items()
            },
            resamples={name: resampled[over] / resampled[under] for name, (over, under) in METRICS.items()},
            busy_share=float(np.mean([run.busy_share for run in runs])),
        )


def _columns(stories: Sequence[Story]) -> dict[str, Floats]:
    seconds = np.array([story.seconds for story in stories])
    solved = np.array([float(story.is_solved) for story in stories])
    return {
        "requests": np.ones(len(stories)),
        "solved": solved,
        "first": np.array([float(story.is_first_correct) for story in stories]),
        "seconds": seconds,
        "solved_seconds": seconds * solved,
        "attempts": np.array([float(story.attempts) for story in stories]),
        "usd": np.array([story.usd for story in stories]),
        **{f"within_{limit:g}": solved * (seconds <= limit) for limit in DEADLINES_SECONDS},
    }


def _resampled(stories: Sequence[Story], seed: int) -> Floats:
    """How often each story counts in each resample, shape (RESAMPLES, stories)."""
    keys = sorted({story.question.key for story in stories})
    index = {key: position for position, key in enumerate(keys)}
    drawn = np.random.default_rng(seed).multinomial(
        len(keys), np.full(len(keys), 1 / len(keys)), size=RESAMPLES
    )
    result: Floats = drawn[:, [index[story.question.key] for story in stories]].astype(np.float64)
    return result
