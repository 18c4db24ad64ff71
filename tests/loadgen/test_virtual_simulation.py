from __future__ import annotations

import gc

import numpy as np
import pytest

from loadgen.questions.generated import generate_questions
from loadgen.virtual.arms import ARMS, Workbench
from loadgen.virtual.fleet import STUDY_TIERS, build_fleet
from loadgen.virtual.scenario import Scenario, run_point
from loadgen.virtual.simulation import Run, Simulation
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


def closed(bench: Workbench, arm: str, *, concurrency: int, keeps_prefixes: bool = False) -> Run:
    """Forty questions asked by so many clients."""
    fleet = build_fleet(bench.questions.models, STUDY_TIERS, instances=[1] * 5)
    decider = ARMS[arm].decider(bench, fleet, 3.0, np.random.default_rng(1))
    simulation = Simulation(fleet, decider, keeps_prefixes=keeps_prefixes)
    return simulation.run_closed(bench.questions.held_out[:40], concurrency=concurrency)


def test_in_a_closed_loop_so_many_requests_are_open(bench: Workbench) -> None:
    """With c clients never more than c requests are open, and all are until the last ones."""
    stories = closed(bench, "laar", concurrency=4).stories
    for story in stories:
        open_now = [s for s in stories if s.arrived_seconds <= story.arrived_seconds < s.ended_seconds]
        assert 4 == len(open_now)


def test_a_closed_loop_needs_a_client(bench: Workbench) -> None:
    """Nobody asks nothing."""
    with pytest.raises(ValueError, match="concurrency"):
        closed(bench, "laar", concurrency=0)


def test_a_kept_prefix_shortens_asking_the_same_instance_again(bench: Workbench) -> None:
    """Session affinity, which asks again where the prompt is, gains by prefix caches."""
    without, with_caches = (
        closed(bench, "session_affinity", concurrency=1, keeps_prefixes=keeps) for keeps in (False, True)
    )
    assert with_caches.seconds < without.seconds


def test_prefix_caches_change_nothing_for_who_asks_each_instance_once(bench: Workbench) -> None:
    """LAAR with infinite penalty never comes back to an instance, and the questions differ."""
    without, with_caches = (closed(bench, "laar", concurrency=3, keeps_prefixes=k) for k in (False, True))
    assert without.seconds == pytest.approx(with_caches.seconds)


def _our_cycles() -> list[type]:
    """Types of ours among the garbage that only a search for cycles finds; other libraries may leave what they like."""
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        gc.collect()
        return [type(one) for one in gc.garbage if type(one).__module__.startswith(("loadgen.", "extproc."))]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()


@pytest.mark.parametrize("arm", ["plan", "router_verified", "router_judged"])
def test_requests_leave_no_cycles_behind(bench: Workbench, arm: str) -> None:
    """A run does without the search for cycles, since there is nothing to find; afterwards it is on again."""
    fleet = build_fleet(bench.questions.models, STUDY_TIERS, instances=[2] * 5)
    asked, arrivals = Scenario(rate=60.0, requests=80, seed=1).traffic(bench.questions.held_out)
    decider = ARMS[arm].decider(bench, fleet, 40.0, np.random.default_rng(1))
    simulation = Simulation(fleet, decider)
    gc.collect()
    run = simulation.run(asked, arrivals)

    assert gc.isenabled()
    assert [] == _our_cycles()
    assert 80 == len(run.stories)
