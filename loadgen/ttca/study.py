"""What a study runs: loads, points, sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from loadgen.arrivals import poisson
from loadgen.questions.question import Question, QuestionSet
from loadgen.ttca.arms import ARMS
from loadgen.ttca.client import Asking
from loadgen.ttca.machine import Usage
from loadgen.virtual.simulation import Story
from loadgen.virtual.summary import Figure, Summary

FULL_REQUESTS = 400
QUICK_REQUESTS = 150
"""Requests of each point."""

WARM_UP_REQUESTS = 150

FITTED_WARM_UP_REQUESTS = 750
"""150 of each model: from 100 on the service says where long answers are hardly ever right."""

MOST_OUTPUT_TOKENS = 800
"""A question on which some model's answer is longer is left out: that is a model in a loop, minutes long, and all of
them wrong in ZeroEval; the end of a point would be waiting for a single one of them.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """What is run.

    Attributes:
        questions: Name of the set of questions.
        rates: Simulated arrivals per second by name of the load.
        requests: Requests of each point, at least 10.
        arms: Keys of `ARMS`.
        is_quick: True for few values of each knob.
        time_scale: Simulated seconds per real second, above 0.
        seed: Of arrivals, questions, resamples, and the order of the points.
        warm_up: Requests from which the service learns lengths and speeds before the first point.
        is_fitted: True to give the service a quality model fitted to the training questions, and to verify the answers of
            the warm-up, so that it also knows how long right answers are; False to leave it with each model's prior.
    """

    questions: str
    rates: Mapping[str, float]
    requests: int
    arms: Sequence[str]
    is_quick: bool
    time_scale: float
    seed: int
    warm_up: int = WARM_UP_REQUESTS
    is_fitted: bool = False

    def check(self) -> None:
        """Refuse what cannot be run.

        Raises:
            ValueError: A figure is out of range, or no arm has a name that was given.
        """
        unknown = [arm for arm in self.arms if arm not in ARMS]
        if unknown or not self.arms:
            raise ValueError(
                f"no policy is called {', '.join(map(repr, unknown))}; there are {', '.join(ARMS)}"
            )
        if self.requests < 10 or not self.time_scale > 0 or not self.rates:
            raise ValueError("a study needs 10 requests at least, a load, and a time scale above 0")
        if not all(rate > 0 for rate in self.rates.values()):
            raise ValueError("rates must be positive")

    def values(self, arm: str) -> tuple[float, ...]:
        """Values of an arm's knob."""
        return ARMS[arm].quick_values if self.is_quick else ARMS[arm].values

    def points(self, load: str) -> list[PointPlan]:
        """The points of a load in an order drawn by the seed, so that what is learned meanwhile favours nobody."""
        points = [PointPlan(load, arm, value) for arm in self.arms for value in self.values(arm)]
        order = np.random.default_rng(self.seed).permutation(len(points))
        return [points[index] for index in order]

    def askings(self, questions: Sequence[Question], load: str) -> list[Asking]:
        """The requests of a load, the same for every point."""
        return draw_askings(questions, self.requests, self.rates[load] * self.time_scale, self.seed)


@dataclass(frozen=True, slots=True)
class PointPlan:
    """One value of one arm's knob, at one load."""

    load: str
    arm: str
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """What came of a point.

    Attributes:
        plan: What was run.
        summary: Its figures, in simulated seconds.
        within: Success within deadlines, by simulated seconds.
        usage: How busy the machine was.
        lag_p99_seconds: How late requests were sent, in real seconds.
        errors: Answers that were none.
        stories: Of every request, in order of arrival, in simulated seconds.
    """

    plan: PointPlan
    summary: Summary
    within: Mapping[float, Figure]
    usage: Usage
    lag_p99_seconds: float
    errors: int
    stories: tuple[Story, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyResult:
    """A whole study; `real_seconds` is how long it took."""

    study: Study
    is_recorded: bool
    points: tuple[Point, ...]
    real_seconds: float

    def frontiers(self, load: str) -> dict[str, tuple[Summary, ...]]:
        """By arm, its points at a load in the order of the knob."""
        found = {
            (point.plan.arm, point.plan.value): point for point in self.points if point.plan.load == load
        }
        return {
            arm: tuple(found[arm, value].summary for value in self.study.values(arm))
            for arm in self.study.arms
        }


def without_loops(questions: QuestionSet) -> QuestionSet:
    """Leave out the questions on which some model answers without end; see `MOST_OUTPUT_TOKENS`."""

    def kept(part: Sequence[Question]) -> tuple[Question, ...]:
        return tuple(one for one in part if max(one.output_tokens.values()) <= MOST_OUTPUT_TOKENS)

    return replace(questions, training=kept(questions.training), held_out=kept(questions.held_out))


def draw_askings(questions: Sequence[Question], count: int, rate: float, seed: int) -> list[Asking]:
    """Questions drawn with replacement, at Poisson arrivals of `rate` per real second."""
    rng = np.random.default_rng(seed)
    asked = rng.integers(0, len(questions), count)
    return [
        Asking(number=number, question=questions[index], intended_seconds=float(seconds))
        for number, (index, seconds) in enumerate(zip(asked, poisson(count, rate, rng), strict=True))
    ]
