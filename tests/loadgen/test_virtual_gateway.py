from __future__ import annotations

from collections.abc import Callable

import pytest

from extproc.decide.attempts import CarriedAttempt, Following
from loadgen.engine.config import EngineConfig
from loadgen.questions.question import Question
from loadgen.virtual.course import Course, Report, Try
from loadgen.virtual.events import Events
from loadgen.virtual.gateway import BACK_OFF_SECONDS, Gateway

STEP = 0.1
"""Seconds of one iteration: an answer of n tokens takes n of them, its prompt 1 more token's time at most."""


def as_planned(report: Report) -> Following:
    """The attempt after the last one, where the plan has it."""
    position = report.tries[-1].position + 1
    address = report.course.addresses[position]
    return Following(attempt=CarriedAttempt(address=address), position=position)


class Stage:
    """A gateway before instances a (small, wrong), b (right) and c (right), and what it reports."""

    def __init__(
        self, *, following: Callable[[Report], Following | None] | None = None, **config: int
    ) -> None:
        self.events = Events()
        self.tries: list[Try] = []
        self.reports: list[Report] = []
        engine = EngineConfig(
            iteration_base_seconds=STEP,
            iteration_per_sequence_seconds=0.0,
            prefill_tokens_per_second=1e9,
            max_num_seqs=1,
            max_model_len=config.get("max_model_len", 100),
            max_num_queued_reqs=config.get("max_num_queued_reqs"),
        )
        large = EngineConfig(
            iteration_base_seconds=STEP, iteration_per_sequence_seconds=0.0, prefill_tokens_per_second=1e9
        )
        self.gateway = Gateway(
            {"a": engine, "b": large, "c": large},
            {"a": "A", "b": "B", "c": "C"},
            self.events,
            lambda _, attempt: self.tries.append(attempt),
            following or as_planned,
        )

    def send(self, course: Course, *, tokens: int = 10) -> None:
        self.gateway.send(course, a_question(dict.fromkeys("ABC", tokens)), self.reports.append)

    def run(self) -> Report:
        while self.events.step():
            pass
        assert 1 == len(self.reports)
        return self.reports[0]


def a_question(output_tokens: dict[str, int]) -> Question:
    return Question(
        key="q",
        kind="k",
        text="t",
        prompt_tokens=20,
        correct={"A": False, "B": True, "C": True},
        output_tokens=output_tokens,
    )


def a_course(*addresses: str, **changes: object) -> Course:
    given: dict[str, object] = {
        "decision_id": "d",
        "addresses": addresses,
        "max_retries": len(addresses) - 1,
        **changes,
    }
    return Course(**given)  # type: ignore[arg-type]


def test_a_wrong_answer_is_followed_by_the_next_host_in_a_verified_plan() -> None:
    """The client gets the second host's answer after both tries and one back-off."""
    stage = Stage()
    stage.send(a_course("a", "b", is_verified=True))
    report = stage.run()
    assert ["a", "b"] == [attempt.address for attempt in report.tries]
    assert report.delivered is report.tries[1]
    assert pytest.approx(20 * STEP + BACK_OFF_SECONDS) == report.ended_seconds


def test_an_unverified_plan_delivers_what_comes_first() -> None:
    """A wrong answer is an answer when nobody verifies."""
    stage = Stage()
    stage.send(a_course("a", "b"))
    report = stage.run()
    assert ["a"] == [attempt.address for attempt in report.tries]
    assert report.delivered is not None
    assert report.delivered.is_correct is False


def test_a_verified_plan_stops_when_going_on_is_not_worth_it() -> None:
    """The last answer is delivered, marked wrong."""
    stage = Stage(following=lambda _: None)
    stage.send(a_course("a", "b", is_verified=True))
    report = stage.run()
    assert (1, False) == (len(report.tries), report.delivered and report.delivered.is_correct)


def test_a_full_queue_is_retried_at_the_next_host() -> None:
    """A 503 costs no prompt and a back-off."""
    stage = Stage(max_num_queued_reqs=1)
    stage.send(a_course("a", decision_id="first"))
    stage.send(a_course("a", "b", decision_id="second"))
    while stage.events.step():
        pass
    second = next(report for report in stage.reports if report.course.decision_id == "second")
    assert [503, 200] == [attempt.status for attempt in second.tries]


def test_a_context_overflow_is_retried_only_where_the_plan_foresaw_it() -> None:
    """A 400 reaches the client unless its host is among the plan's overflow addresses."""
    plain = Stage(max_model_len=25)
    plain.send(a_course("a", "b"))
    foreseen = Stage(max_model_len=25)
    foreseen.send(a_course("a", "b", overflow_addresses=("a",)))
    assert 400 == plain.run().status
    assert [400, 200] == [attempt.status for attempt in foreseen.run().tries]


def test_a_try_that_exceeds_its_timeout_is_given_up() -> None:
    """The next host is tried, and the tokens of the first are counted."""
    stage = Stage()
    stage.send(a_course("b", "c", per_try_timeout_seconds=0.55), tokens=10)
    report = stage.run()
    assert ([0, 0], 504) == ([attempt.status for attempt in report.tries], report.status)
    assert 5 == report.tries[0].output_tokens


def test_a_hedged_try_races_the_next_one() -> None:
    """The first try goes on beside the second; whoever answers first wins and the other is aborted."""
    stage = Stage()
    stage.send(a_course("b", "c", per_try_timeout_seconds=0.55, hedges=True), tokens=10)
    report = stage.run()
    assert report.delivered is report.tries[0]
    assert pytest.approx(10 * STEP) == report.ended_seconds
    assert 0 == report.tries[1].status


def test_the_whole_has_a_timeout() -> None:
    """The client gets a 504 when the time is over, whatever is under way."""
    stage = Stage()
    stage.send(a_course("b", timeout_seconds=0.35), tokens=10)
    report = stage.run()
    assert (504, None) == (report.status, report.delivered)
    assert pytest.approx(0.35) == report.ended_seconds


def test_every_try_is_reported_once() -> None:
    """Tries that ended, failed or were aborted are heard of exactly once."""
    stage = Stage()
    stage.send(a_course("a", "b", "c", is_verified=True, per_try_timeout_seconds=0.55, hedges=True))
    report = stage.run()
    assert sorted(id(attempt) for attempt in report.tries) == sorted(id(attempt) for attempt in stage.tries)


def test_an_answer_that_is_cut_is_wrong_and_goes_on() -> None:
    """A limit of the course ends the answer of its try, and the engine makes no more tokens than that."""
    stage = Stage()
    stage.send(a_course("b", "c", is_verified=True, max_tokens=(4, None)))

    report = stage.run()

    assert [("b", 4, True, False), ("c", 10, False, True)] == [
        (attempt.address, attempt.output_tokens, attempt.was_cut, attempt.is_correct)
        for attempt in report.tries
    ]
    assert report.delivered is report.tries[1]


def test_a_wrong_answer_is_followed_where_that_is_named() -> None:
    """With the limit that was named; the plan's own host comes after, when the named one's answer is cut."""

    def elsewhere(report: Report) -> Following:
        if len(report.tries) > 1:
            return Following(attempt=CarriedAttempt(address="b"), position=1)
        return Following(attempt=CarriedAttempt(address="c", max_tokens=3), position=2)

    stage = Stage(following=elsewhere)
    stage.send(a_course("a", "b", "c", is_verified=True))

    report = stage.run()

    assert [("a", 0, 10), ("c", 2, 3), ("b", 1, 10)] == [
        (attempt.address, attempt.position, attempt.output_tokens) for attempt in report.tries
    ]
    assert report.delivered is report.tries[2]


def test_a_named_host_that_is_full_is_followed_by_the_plans_next_one() -> None:
    """As in Envoy, whose list of hosts is where it was."""
    stage = Stage(
        max_num_queued_reqs=1,
        following=lambda _: Following(attempt=CarriedAttempt(address="a"), position=1),
    )
    stage.send(a_course("a", decision_id="first"), tokens=100)
    stage.events.after(0.05, lambda: stage.send(a_course("a", decision_id="waiting")))
    limits = (1, None, None)
    stage.send(a_course("c", "b", "a", decision_id="second", is_verified=True, max_tokens=limits))
    while stage.events.step():
        pass
    second = next(report for report in stage.reports if report.course.decision_id == "second")
    assert [("c", 200), ("a", 503), ("b", 200)] == [
        (attempt.address, attempt.status) for attempt in second.tries
    ]


def test_a_named_host_that_is_given_up_is_followed_by_no_model_that_was_wrong() -> None:
    """The list leads to the first model's second instance; what is left is the third one."""
    stage = Stage(following=lambda _: Following(attempt=CarriedAttempt(address="b"), position=2))
    course = a_course(
        "a", "a", "b", "c", is_verified=True, attempts=(0, 0, 2, 3), per_try_timeout_seconds=15 * STEP
    )
    stage.gateway.send(course, a_question({"A": 10, "B": 100, "C": 10}), stage.reports.append)

    report = stage.run()

    assert [("a", False), ("b", None), ("c", True)] == [
        (attempt.address, attempt.is_correct) for attempt in report.tries
    ]
