from __future__ import annotations

import numpy as np
import pytest

from loadgen.questions.generated import generate_questions
from loadgen.virtual.arms import ARMS, Workbench
from loadgen.virtual.scenario import Scenario, run_point
from loadgen.virtual.summary import summarize

SCENARIO = Scenario(rate=30.0, requests=400, seed=2)


@pytest.fixture(scope="module")
def bench() -> Workbench:
    """Questions from the generator, with all that is learned from them."""
    return Workbench(generate_questions("zeroeval", seed=1, count=500))


@pytest.mark.parametrize("arm", sorted(ARMS))
def test_every_arm_ends_every_request(bench: Workbench, arm: str) -> None:
    """Each request ends once, no sooner than it came, with at most one try per model or as many as its cap."""
    knob = ARMS[arm].values[2]
    run = run_point(bench, SCENARIO, arm, knob)
    assert SCENARIO.requests == len(run.stories)
    assert all(story.seconds >= 0 for story in run.stories)
    assert max(story.attempts for story in run.stories) <= 5
    for story in run.stories:
        assert not story.is_solved or any(story.question.correct.values())


def test_a_run_repeats_to_the_bit(bench: Workbench) -> None:
    """The same scenario gives the same stories."""
    first, second = (run_point(bench, SCENARIO, "plan", 40.0).stories for _ in range(2))
    assert [s.ended_seconds for s in first] == [s.ended_seconds for s in second]


def test_asking_every_model_solves_what_any_can(bench: Workbench) -> None:
    """LAAR with five attempts and five models fails only where all of them do."""
    stories = run_point(bench, SCENARIO, "laar", 5.0).stories
    assert [any(s.question.correct.values()) for s in stories] == [s.is_solved for s in stories]


def test_a_dearer_answer_buys_success(bench: Workbench) -> None:
    """Success and time both rise with what a correct answer is worth."""
    cheap, dear = (summarize(run_point(bench, SCENARIO, "plan", v), knob=v, seed=1) for v in (5.0, 160.0))
    assert cheap.figures["success"].value < dear.figures["success"].value
    assert cheap.figures["mean_seconds_all"].value < dear.figures["mean_seconds_all"].value


def test_all_arms_get_the_same_traffic(bench: Workbench) -> None:
    """Questions and arrivals hang on the scenario alone."""
    asked, arrivals = SCENARIO.traffic(bench.questions.held_out)
    again, arrivals_again = SCENARIO.traffic(bench.questions.held_out)
    assert asked == again
    assert np.array_equal(arrivals, arrivals_again)
