from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from extproc.calibrate.calibrator import LESSONS_PER_SECOND, MOST_LESSONS_SAVED, Calibrator
from extproc.calibrate.outcome import DecisionRecord, Outcome, Usage, VerdictRecord
from extproc.decide.encounters import Met
from extproc.estimate.forecast import Estimators
from extproc.estimate.latency_records import LoadAtDecision
from extproc.facts.request import Api
from extproc.facts.text import Category, TextProfile

TEXT = TextProfile(((next(iter(Category)), 400),))


class Heard:
    """Stands in for both estimators and writes down what it is taught."""

    def __init__(self) -> None:
        self.prompts: list[dict[str, Any]] = []
        self.outputs: list[tuple[Any, ...]] = []

    def learn(self, *args: Any, **values: Any) -> None:
        if args:
            self.outputs.append((*args, values))
        else:
            self.prompts.append(values)


def an_outcome(*, usage: Usage | None, status: int = 200, decided: bool = True, **decision: Any) -> Outcome:
    record = DecisionRecord(
        **{
            "decision_id": "d",
            "api": Api.CHAT_COMPLETIONS,
            "model": "m",
            "planned_model": "m",
            "pool": "short",
            "cluster": "m-short",
            "prompt_tokens": 100,
            "prompt_tokens_upper": 120,
            "output_tokens": 50,
            "output_is_given": True,
            "text": TEXT,
            "prompt_token_ids": 0,
            "messages": 1,
            "images": 0,
            "choices": 1,
            **decision,
        }
    )
    return Outcome(
        request_id="r",
        traceparent="",
        started_unix_seconds=0.0,
        decision=record if decided else None,
        served_address="10.0.0.1:1",
        attempts=1,
        status=status,
        flags=(),
        usage=usage,
        ttft_seconds=0.1,
        e2e_seconds=1.0,
        instance_seconds=0.75,
    )


def taught(outcome: Outcome) -> Heard:
    heard = Heard()
    estimator: Any = heard
    Calibrator(
        estimator, Estimators(quality=estimator, latency=estimator, outputs=estimator, limits=estimator)
    ).learn(outcome, now=1.0)
    return heard


def test_usage_teaches_both_estimators() -> None:
    """The counts go to the prompt and the output estimator, with what the decision knew of the request."""
    heard = taught(an_outcome(usage=Usage(prompt_tokens=110, completion_tokens=30)))

    expected = {
        "model": "m",
        "text": TEXT,
        "prompt_token_ids": 0,
        "messages": 1,
        "images": 0,
        "prompt_tokens": 110,
    }
    assert [expected] == heard.prompts
    assert [("m", TEXT, 30, {"was_cut": False})] == heard.outputs


def test_an_answer_that_fills_its_limit_was_cut() -> None:
    """As many tokens as the client allowed are only a lower bound of what the model would have said."""
    heard = taught(an_outcome(usage=Usage(prompt_tokens=None, completion_tokens=50)))

    assert [("m", TEXT, 50, {"was_cut": True})] == heard.outputs
    assert heard.prompts == []


@pytest.mark.parametrize(
    "outcome",
    [
        an_outcome(usage=None),
        an_outcome(usage=Usage(prompt_tokens=1, completion_tokens=1), status=500),
        replace(an_outcome(usage=Usage(prompt_tokens=1, completion_tokens=1)), flags=("UC",)),
        an_outcome(usage=Usage(prompt_tokens=1, completion_tokens=1), decided=False),
        an_outcome(usage=Usage(prompt_tokens=1, completion_tokens=1), model=""),
    ],
    ids=["no usage", "failed", "broken off", "not decided", "passed through"],
)
def test_what_is_unknown_teaches_nothing(outcome: Outcome) -> None:
    """Missing usage is not zero usage, and a failure or somebody else's decision says nothing about a model."""
    heard = taught(outcome)

    assert ([], []) == (heard.prompts, heard.outputs)


def test_lessons_are_rationed() -> None:
    """A burst is learned from as far as was saved, and afterwards at the steady rate."""
    heard = Heard()
    estimator: Any = heard
    calibrator = Calibrator(
        estimator, Estimators(quality=estimator, latency=estimator, outputs=estimator, limits=estimator)
    )
    outcome = an_outcome(usage=Usage(prompt_tokens=110, completion_tokens=30))
    burst = sum(calibrator.learn(outcome, now=10.0) for _ in range(1000))
    later = sum(calibrator.learn(outcome, now=11.0) for _ in range(1000))

    assert (MOST_LESSONS_SAVED, LESSONS_PER_SECOND) == (burst, later)


@pytest.mark.parametrize(("seconds", "expected"), [(0.75, [0.75]), (None, [])])
def test_latency_is_the_instances_time(
    hearing: tuple[Calibrator, Heard, HeardOfLatency], seconds: float | None, expected: list[float]
) -> None:
    """What the client took to send its request and to read the answer is not learned as the instance's; usage always is."""
    calibrator, heard, latency = hearing
    outcome = an_outcome(usage=Usage(prompt_tokens=110, completion_tokens=30))

    assert calibrator.learn(replace(outcome, instance_seconds=seconds), LOAD, now=1.0)
    assert expected == [lesson[2] for lesson in latency.lessons]
    assert 1 == len(heard.prompts) == len(heard.outputs)


def test_several_choices_teach_no_length() -> None:
    """The completion tokens of several answers are one sum, not the length of one."""
    heard = taught(an_outcome(usage=Usage(prompt_tokens=110, completion_tokens=90), choices=3))

    assert heard.outputs == []
    assert len(heard.prompts) == 1


LOAD = LoadAtDecision(
    sequences=0.0,
    own_sequences=1,
    sequence_seconds=0.0,
    backlog_tokens=0.0,
    waiting_seconds=0.0,
    preemption_share=0.0,
    ttft_seconds=1.0,
    ttft_alone_seconds=1.0,
    iteration_seconds=0.1,
    iteration_alone_seconds=0.1,
)


def a_verdict(**changes: Any) -> VerdictRecord:
    """A rejected answer of 50 tokens to a prompt of 90, which took three seconds."""
    values: dict[str, Any] = {
        "decision_id": "d",
        "model": "m",
        "address": "10.0.0.1:1",
        "chance": 0.5,
        "is_correct": False,
        "goes_on": True,
        "prompt_tokens": 90,
        "completion_tokens": 50,
        "answer_seconds": 3.0,
    }
    return VerdictRecord(**{**values, **changes})


class HeardOfLatency:
    """Stands in for the latency estimator and writes down what it is taught."""

    def __init__(self) -> None:
        self.lessons: list[tuple[Any, ...]] = []

    def learn(self, address: str, load: LoadAtDecision, **values: Any) -> None:
        self.lessons.append((address, load, values["e2e_seconds"], values["completion_tokens"]))


@pytest.fixture
def hearing() -> tuple[Calibrator, Heard, HeardOfLatency]:
    """A calibrator and those whom it teaches."""
    heard, latency = Heard(), HeardOfLatency()
    estimators: Any = SimpleNamespace(outputs=heard, latency=latency)
    prompts: Any = heard
    return Calibrator(prompts, estimators), heard, latency


def test_every_judged_answer_teaches_how_long_it_took(
    hearing: tuple[Calibrator, Heard, HeardOfLatency],
) -> None:
    """A rejected one too: else only those who are right at once would tell the time. A delivered one's length comes by the log."""
    calibrator, heard, latency = hearing
    met = Met(address="10.0.0.1:1", text=TEXT, load=LOAD, at=1.0)
    calibrator.learn_answer(a_verdict(), met, now=4.0, sequences_meanwhile=0.0)
    calibrator.learn_answer(
        a_verdict(is_correct=True, goes_on=False, address="b:1"),
        replace(met, address="b:1"),
        now=5.0,
        sequences_meanwhile=0.0,
    )

    assert [("10.0.0.1:1", LOAD, 3.0, 50), ("b:1", LOAD, 3.0, 50)] == latency.lessons
    assert [("m", TEXT, 50, {"was_cut": False})] == heard.outputs


@pytest.mark.parametrize(
    ("record", "load"),
    [
        (a_verdict(answer_seconds=None), LOAD),
        (a_verdict(prompt_tokens=None), LOAD),
        (a_verdict(), None),
        (a_verdict(address="elsewhere:1"), LOAD),
    ],
)
def test_what_is_not_known_of_a_judged_answer_teaches_no_latency(
    hearing: tuple[Calibrator, Heard, HeardOfLatency], record: VerdictRecord, load: LoadAtDecision | None
) -> None:
    """Neither its time nor what it met."""
    calibrator, _, latency = hearing
    calibrator.learn_answer(
        record, Met(address="10.0.0.1:1", text=TEXT, load=load, at=1.0), now=4.0, sequences_meanwhile=None
    )

    assert not latency.lessons


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, [("m", TEXT, 50, {"was_cut": False})]),
        ({"was_cut": True}, [("m", TEXT, 50, {"was_cut": True})]),
        ({"choices": 8}, []),
        ({"goes_on": False}, []),
        ({"goes_on": False, "was_cut": True}, [("m", TEXT, 50, {"was_cut": True})]),
    ],
)
def test_a_judged_answer_teaches_its_length_where_the_log_would_not(
    hearing: tuple[Calibrator, Heard, HeardOfLatency], changes: dict[str, Any], expected: list[Any]
) -> None:
    """The log tells the last answer's, and not whether the instance cut it; several answers have no length together."""
    calibrator, heard, _ = hearing
    met = Met(address="10.0.0.1:1", text=TEXT, load=LOAD, at=1.0)
    calibrator.learn_answer(a_verdict(**changes), met, now=4.0, sequences_meanwhile=0.0)

    assert expected == heard.outputs
