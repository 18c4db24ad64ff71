from __future__ import annotations

from dataclasses import replace

import pytest

from loadgen.questions.generated import generate_questions
from loadgen.ttca.arms import ARMS
from loadgen.ttca.study import Study, draw_askings

STUDY = Study(
    questions="zeroeval",
    rates={"high": 10.0},
    requests=20,
    arms=["plan_verified", "laar"],
    is_quick=True,
    time_scale=4.0,
    seed=3,
)


def test_every_value_of_every_arm_is_run_once() -> None:
    """The drawn order leaves nothing out and repeats nothing."""
    points = {(point.arm, point.value) for point in STUDY.points("high")}
    assert {(arm, value) for arm in STUDY.arms for value in ARMS[arm].quick_values} == points
    assert len(points) == len(STUDY.points("high"))


def test_all_points_of_a_load_ask_the_same() -> None:
    """Points differ by policy alone: questions and times are drawn anew from the same seed."""
    questions = generate_questions("zeroeval", seed=1, count=50).held_out
    first, second = STUDY.askings(questions, "high"), STUDY.askings(questions, "high")
    assert [(a.question.key, a.intended_seconds) for a in first] == [
        (a.question.key, a.intended_seconds) for a in second
    ]


def test_arrivals_come_at_the_scaled_rate() -> None:
    """A rate in simulated seconds is sped up by the time scale."""
    questions = generate_questions("zeroeval", seed=1, count=50).held_out
    askings = replace(STUDY, requests=4000).askings(questions, "high")
    assert pytest.approx(4000 / 40.0, rel=0.1) == askings[-1].intended_seconds
    assert sorted(a.intended_seconds for a in askings) == [a.intended_seconds for a in askings]


def test_another_seed_asks_something_else() -> None:
    """Seeds move questions and arrivals."""
    questions = generate_questions("zeroeval", seed=1, count=200).held_out
    keys = [[a.question.key for a in draw_askings(questions, 20, 1.0, seed)] for seed in (1, 2)]
    assert keys[0] != keys[1]


@pytest.mark.parametrize(
    "change",
    [
        {"arms": ["nobody"]},
        {"arms": []},
        {"requests": 9},
        {"time_scale": 0.0},
        {"rates": {}},
        {"rates": {"high": 0.0}},
    ],
)
def test_a_senseless_study_is_refused(change: dict[str, object]) -> None:
    """What cannot be run is refused before anything is started."""
    with pytest.raises(ValueError):
        replace(STUDY, **change).check()  # type: ignore[arg-type]


def test_a_verified_answer_is_taken_as_it_comes() -> None:
    """With verification Envoy retries, so that the client asks once whatever the stop price."""
    arm = ARMS["plan_verified"]
    assert {1} == {arm.client_attempts(value) for value in arm.values}
    assert arm.values == tuple(arm.worth_seconds(value) for value in arm.values)


def test_a_cap_bounds_the_client() -> None:
    """Where the client judges, the knob is how often it asks."""
    assert [1, 2, 3, 4, 5] == [ARMS["laar"].client_attempts(value) for value in ARMS["laar"].values]
