"""The agreement study: the virtual half asks what Envoy's half asks, and differences become verdicts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from loadgen.questions.generated import generate_questions
from loadgen.questions.question import QuestionSet
from loadgen.reproduce.agreement.study import (
    CHOSEN,
    LOAD,
    ChosenPoints,
    Pair,
    findings_of,
    throughput,
    write_report,
)
from loadgen.reproduce.agreement.virtual import VirtualTask, as_counted, simulate, warm_up_askings
from loadgen.reproduce.findings import Verdict
from loadgen.ttca.machine import Usage
from loadgen.ttca.study import Point, PointPlan
from loadgen.virtual.simulation import Run, Story
from loadgen.virtual.summary import summarize
from loadgen.vllm.tokenizer import count_tokens

STUDY = ChosenPoints(
    questions="zeroeval",
    rates={LOAD: 12.0},
    requests=40,
    arms=tuple(CHOSEN),
    is_quick=True,
    time_scale=2.0,
    seed=1,
    warm_up=20,
)


@pytest.fixture(scope="module")
def questions() -> QuestionSet:
    return generate_questions("zeroeval", seed=1, count=200)


@pytest.fixture(scope="module")
def run(questions: QuestionSet) -> Run:
    return simulate(VirtualTask(study=STUDY, questions=questions, load=LOAD, arm="laar", value=3.0))


def slowed(run: Run, factor: float) -> tuple[Story, ...]:
    """The run's stories with every time stretched."""
    return tuple(
        replace(
            story,
            arrived_seconds=factor * story.arrived_seconds,
            ended_seconds=factor * story.ended_seconds,
        )
        for story in run.stories
    )


def pair(run: Run, factor: float, *, busy: float = 0.0) -> Pair:
    """Envoy's side `factor` times as slow as the virtual one."""
    stories = slowed(run, factor)
    real = Point(
        plan=PointPlan(LOAD, "laar", 3.0),
        summary=summarize(replace(run, stories=stories), knob=3.0, seed=1),
        within={},
        usage=Usage(cores={}, saturated={"machine": busy}),
        lag_p99_seconds=0.0,
        errors=0,
        stories=stories,
    )
    return Pair(arm="laar", real=real, virtual=run, virtual_summary=summarize(run, knob=3.0, seed=1))


def test_both_sides_ask_the_same_at_the_same_times(questions: QuestionSet, run: Run) -> None:
    """The virtual half has Envoy's questions and arrivals, in simulated seconds."""
    askings = STUDY.askings(questions.held_out, LOAD)
    assert [asking.question.key for asking in askings] == [story.question.key for story in run.stories]
    assert np.allclose(
        [STUDY.time_scale * asking.intended_seconds for asking in askings],
        [story.arrived_seconds for story in run.stories],
    )
    assert 20 == len(warm_up_askings(STUDY, questions))


def test_prompts_have_the_tokens_that_a_simulated_server_counts(questions: QuestionSet) -> None:
    """The virtual half takes a prompt for as long as the HTTP simulators do: text, and what a chat puts around it."""
    question = questions.held_out[0]
    assert count_tokens(question.text) + 7 == as_counted(question).prompt_tokens


def test_throughput_counts_to_the_last_end() -> None:
    """Requests over the time from the first arrival to the last end."""
    question = generate_questions("zeroeval", seed=1, count=20).held_out[0]
    stories = [
        Story(question=question, arrived_seconds=a, ended_seconds=e) for a, e in ((1.0, 4.0), (2.0, 3.0))
    ]
    assert 2 / 3 == pytest.approx(throughput(stories))


@pytest.mark.parametrize(
    ("factor", "busy", "verdict"),
    [
        (1.05, 0.0, Verdict.HOLDS),
        (1.3, 0.0, Verdict.FAILS),
        (1.3, 0.5, Verdict.CONDITIONAL),
        (0.7, 0.5, Verdict.FAILS),
    ],
)
def test_ten_per_cent_decide(run: Run, factor: float, busy: float, verdict: Verdict) -> None:
    """Within a tenth both sides agree; a busy machine excuses Envoy for being slow, never for being fast."""
    ttca, _ = findings_of(pair(run, factor, busy=busy), STUDY)
    assert ttca.ours is not None
    assert 1 / factor == pytest.approx(ttca.ours.value)
    assert verdict is ttca.verdict


def test_report_shows_both_sides(run: Run) -> None:
    """The table has a row per arm and side, and the picture a line per side."""
    report = write_report([pair(run, 1.0)], STUDY, key="agreement", title="Agreement", is_recorded=False)
    assert 2 == len(report.tables[0].rows)
    assert ["through Envoy", "virtual time"] == [series.label for series in report.charts[0].series]
