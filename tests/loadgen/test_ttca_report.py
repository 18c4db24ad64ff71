from __future__ import annotations

from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from loadgen.questions.generated import generate_questions
from loadgen.ttca.machine import Usage
from loadgen.ttca.report import as_document, comparisons, disturbances, plot, show
from loadgen.ttca.stories import DEADLINES_SECONDS, success_within
from loadgen.ttca.study import Point, PointPlan, Study, StudyResult, without_loops
from loadgen.virtual.simulation import Run, Story
from loadgen.virtual.summary import summarize

STUDY = Study(
    questions="zeroeval",
    rates={"high": 10.0},
    requests=60,
    arms=["plan_verified", "laar"],
    is_quick=True,
    time_scale=4.0,
    seed=1,
)
QUESTIONS = generate_questions("zeroeval", seed=1, count=100).held_out


def point(plan: PointPlan, *, rank: int, pace: float) -> Point:
    """A point that solves more with every rank, and takes `pace` times as long."""
    stories = tuple(
        Story(
            question=QUESTIONS[number % len(QUESTIONS)],
            arrived_seconds=0.0,
            ended_seconds=pace * (rank + 1),
            is_solved=number % 10 < 3 * (rank + 1),
            attempts=1,
            prompt_tokens=5,
            output_tokens=5,
        )
        for number in range(60)
    )
    run = Run(stories=stories, busy_seconds={"a": 0.0}, preemptions=0, seconds=1.0)
    return Point(
        plan=plan,
        summary=summarize(run, knob=plan.value, seed=1),
        within={limit: success_within(stories, limit, seed=1) for limit in DEADLINES_SECONDS},
        usage=Usage(cores={"service": 0.5, "machine": 1.0}, saturated={"service": 0.0, "machine": 0.0}),
        lag_p99_seconds=0.001,
        errors=0,
    )


@pytest.fixture
def result() -> StudyResult:
    paces = {"plan_verified": 0.5, "laar": 1.0}
    points = tuple(
        point(PointPlan("high", arm, value), rank=rank, pace=paces[arm])
        for arm in STUDY.arms
        for rank, value in enumerate(STUDY.values(arm))
    )
    return StudyResult(study=STUDY, is_recorded=False, points=points, real_seconds=12.0)


def test_a_policy_twice_as_fast_at_the_same_success_is_half(result: StudyResult) -> None:
    """Every point of LAAR is compared with the other policy's frontier at its success."""
    found = comparisons(result, "high")["plan_verified"]
    assert [1.0, 3.0, 5.0] == [one.knob for one in found]
    assert [pytest.approx(0.5)] * 3 == [one.all_ratio.value for one in found]


def test_the_document_has_every_point_with_intervals(result: StudyResult) -> None:
    """Figures come with their intervals, per load, policy and knob."""
    load = as_document(result)["loads"]["high"]
    points = load["policies"]["plan_verified"]["points"]
    assert list(STUDY.values("plan_verified")) == [one["knob"] for one in points]
    assert {"value", "ci95"} == set(points[0]["ttca_mean_seconds"])
    assert {"2", "5", "10", "20"} == set(points[0]["success_within_seconds"])
    assert 3 == len(load["at_equal_success"]["plan_verified"])


def test_a_quiet_machine_disturbs_nothing(result: StudyResult) -> None:
    """No line without a reason."""
    assert [] == disturbances(result)


def test_what_casts_doubt_on_the_times_is_said(result: StudyResult) -> None:
    """Late requests, saturation and unanswered requests each have their line."""
    busy = Usage(cores={"service": 1.0, "machine": 2.0}, saturated={"service": 0.5, "machine": 0.0})
    points = tuple(replace(one, usage=busy, lag_p99_seconds=0.2, errors=1) for one in result.points)
    lines = disturbances(replace(result, points=points))
    assert 3 == len(lines)
    assert "200 ms" in lines[0]
    assert "service" in lines[1]
    assert "6 requests" in lines[2]


def test_tables_and_plot_show_every_policy(result: StudyResult, tmp_path: Path) -> None:
    """People see the same points as machines."""
    pytest.importorskip("matplotlib")
    text = StringIO()
    show(result, Console(file=text, width=180))
    assert "plan, verified in Envoy" in text.getvalue()
    assert "0.50 [" in text.getvalue()
    plot(result, tmp_path / "frontiers.png")
    assert b"\x89PNG" == (tmp_path / "frontiers.png").read_bytes()[:4]


def test_questions_with_endless_answers_are_left_out() -> None:
    """A single one would make the end of a point a wait for it."""
    questions = generate_questions("mmlu_pro", seed=1)
    kept = without_loops(questions)
    assert len(kept.held_out) < len(questions.held_out)
    assert max(max(one.output_tokens.values()) for one in kept.held_out) <= 800
