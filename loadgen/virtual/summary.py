"""Figures of a run, with intervals over the questions.

The interval of a figure is that of the bootstrap over questions (Efron 1979): whole questions are drawn with
replacement, with all requests that asked them, since a question asked twice is answered alike. It says how much the
figures hang on the questions; how much they hang on the arrivals, other seeds show.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from loadgen.virtual.simulation import Run, Story

Floats = npt.NDArray[np.float64]

WARM_UP_SHARE = 0.1
"""Share of the requests, the first ones, that are not counted: the fleet starts empty."""

RESAMPLES = 400


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Figures of one run.

    Attributes:
        knob: Value of the arm's knob.
        figures: By name, see `FIGURES`.
        success: Final success by resample of the questions.
        seconds_all: Mean time over all requests by resample.
        seconds_solved: Mean TTCA over solved requests by resample.
        requests: Requests counted.
        busy_share: Mean share of the time that the engines computed.
        preemptions: How often a sequence lost its KV blocks.
    """

    knob: float
    figures: dict[str, Figure]
    success: Floats
    seconds_all: Floats
    seconds_solved: Floats
    requests: int
    busy_share: float
    preemptions: int


FIGURES = (
    "ttca_mean_seconds",
    "ttca_p50_seconds",
    "ttca_p95_seconds",
    "mean_seconds_all",
    "success",
    "first_success",
    "attempts",
    "tokens_per_correct",
    "usd_per_correct",
)
"""TTCA over solved requests; the mean over all counts the time until giving up; tokens are prompt and output."""


def summarize(run: Run, *, knob: float, seed: int, warm_up_share: float = WARM_UP_SHARE) -> Summary:
    """Summarise a run.

    Args:
        run: At least ten requests.
        knob: Value of the arm's knob.
        seed: Of the resamples; runs on the same questions with the same seed are resampled alike.
        warm_up_share: Share of the requests, the first ones, that are not counted.

    Raises:
        ValueError: The run is too short.
    """
    if len(run.stories) < 10:
        raise ValueError(f"a run of {len(run.stories)} requests is too short, 10 is the least")
    stories = run.stories[int(warm_up_share * len(run.stories)) :]
    weights = np.vstack([np.ones(len(stories)), _resampled(stories, seed)])
    columns = _Columns.of(stories)
    means = columns.figures(weights)
    figures = {
        name: Figure(float(values[0]), *(float(q) for q in np.nanquantile(values[1:], (0.025, 0.975))))
        for name, values in means.items()
    }
    return Summary(
        knob=knob,
        figures=figures,
        success=means["success"][1:],
        seconds_all=means["mean_seconds_all"][1:],
        seconds_solved=means["ttca_mean_seconds"][1:],
        requests=len(stories),
        busy_share=float(np.mean(list(run.busy_seconds.values()))) / run.seconds,
        preemptions=run.preemptions,
    )


def _resampled(stories: Sequence[Story], seed: int) -> Floats:
    """How often each story counts in each resample, shape (resamples, stories)."""
    keys = sorted({story.question.key for story in stories})
    index = {key: position for position, key in enumerate(keys)}
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(len(keys), np.full(len(keys), 1 / len(keys)), size=RESAMPLES)
    result: Floats = drawn[:, [index[story.question.key] for story in stories]].astype(np.float64)
    return result


@dataclass(frozen=True, slots=True)
class _Columns:
    seconds: Floats
    solved: Floats
    first: Floats
    attempts: Floats
    tokens: Floats
    usd: Floats

    @classmethod
    def of(cls, stories: Sequence[Story]) -> _Columns:
        return cls(
            np.array([story.seconds for story in stories]),
            np.array([float(story.is_solved) for story in stories]),
            np.array([float(story.is_first_correct) for story in stories]),
            np.array([float(story.attempts) for story in stories]),
            np.array([float(story.prompt_tokens + story.output_tokens) for story in stories]),
            np.array([story.usd for story in stories]),
        )

    def figures(self, weights: Floats) -> dict[str, Floats]:
        """Every figure under each row of weights; NaN where nothing was solved."""
        total = weights.sum(axis=1)
        found = weights @ self.solved
        solved = np.where(found > 0, found, np.nan)
        with np.errstate(divide="ignore", invalid="ignore"):
            p50, p95 = self._quantiles(weights, (0.5, 0.95))
            return {
                "ttca_mean_seconds": weights @ (self.seconds * self.solved) / solved,
                "ttca_p50_seconds": p50,
                "ttca_p95_seconds": p95,
                "mean_seconds_all": weights @ self.seconds / total,
                "success": found / total,
                "first_success": weights @ self.first / total,
                "attempts": weights @ self.attempts / total,
                "tokens_per_correct": weights @ self.tokens / solved,
                "usd_per_correct": weights @ self.usd / solved,
            }

    def _quantiles(self, weights: Floats, shares: Sequence[float]) -> list[Floats]:
        """Weighted quantiles of TTCA over solved requests, one array per share."""
        order = np.argsort(self.seconds, kind="stable")
        order = order[self.solved[order] > 0]
        if not len(order):
            return [np.full(len(weights), np.nan) for _ in shares]
        sums = np.cumsum(weights[:, order], axis=1)
        seconds = self.seconds[order]
        found = []
        for share in shares:
            position = np.argmax(sums >= share * sums[:, -1:], axis=1)
            found.append(np.where(sums[:, -1] > 0, seconds[position], np.nan))
        return found
