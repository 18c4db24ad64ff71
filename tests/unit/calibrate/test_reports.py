from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from extproc.calibrate.lessons import Lesson
from extproc.calibrate.outcome import TryRecord, VerdictRecord
from extproc.decide.order import Policy
from extproc.decide.plan import Plan
from extproc.facts.request import RequestFacts
from extproc.router import Router
from tests.unit.routing import POLICY, the_outcome


def broken_off(address: str) -> TryRecord:
    """A try whose answer began and never ended."""
    return TryRecord(decision_id="d", address=address, status=200, flags=("UC",), is_failure=True)


def suspects(router: Router, now: float) -> list[str]:
    """Instances that are the last resort by now."""
    snapshot = router.book.snapshot(now)
    return [a for a, is_suspect in zip(snapshot.table.addresses, snapshot.suspect, strict=True) if is_suspect]


@pytest.mark.parametrize("comes_first", ["try", "request"])
def test_an_instance_that_breaks_an_answer_off_is_suspect(
    router: Router, make_facts: Callable[..., RequestFacts], comes_first: str
) -> None:
    """In whichever order Envoy reports the try and the request, which has the status of the answer that began."""
    facts = make_facts()
    plan = router.route(facts, now=0.0, decision_id="d")
    address = plan.attempts[0].address
    outcome = the_outcome(plan, facts, flags=("UC",), usage=None)
    if comes_first == "request":
        router.record(outcome, 0.1)
    router.record_try(broken_off(address), 0.15)
    if comes_first == "try":
        router.record(outcome, 0.2)

    assert [address] == suspects(router, 0.3)
    assert address != router.route(facts, now=0.3, decision_id="e").attempts[0].address
    router.record_try(broken_off(address), 1.2)
    assert [address] == suspects(router, 3.1), "its failures follow each other"


def test_an_answer_that_began_stays_where_it_is(
    router: Router, make_facts: Callable[..., RequestFacts]
) -> None:
    """Envoy cannot retry it, so that no other instance is charged for it."""
    plan = router.route(make_facts(), now=0.0, decision_id="d")
    first, second = (attempt.address for attempt in plan.attempts[:2])
    router.record_try(broken_off(first), 0.1)

    assert (1, 0) == tuple(router.book.sequences_by_address()[a] for a in (first, second))


@pytest.fixture
def judging(make_router: Callable[..., Router]) -> Router:
    """A router that weighs quality, told of every lesson."""
    router = make_router(replace(POLICY, policy=Policy.FIRST_CORRECT))
    router.lessons.tell = lambda _lesson: None
    return router


def samples(router: Router) -> float:
    """Verdicts that model `a` has learned from."""
    return router._estimators.quality.samples("a")


@pytest.mark.parametrize(
    "changes",
    [
        {"status": 503, "served_address": None},
        {"status": 400},
        {"status": 401},
        {"status": 404},
        {"status": 429},
        {"status": 0, "flags": ("DC",)},
        {"flags": ("UC",)},
        {"flags": ("UPE",)},
        {"flags": ("UT",)},
    ],
)
@pytest.mark.parametrize("is_reported_late", [False, True])
def test_asking_again_after_no_answer_teaches_nothing(
    judging: Router,
    make_facts: Callable[..., RequestFacts],
    changes: dict[str, Any],
    is_reported_late: bool,
) -> None:
    """A refusal, an answer that broke off and a client that left are no wrong answers, whenever they are reported."""
    facts = make_facts(session="s")
    first = judging.route(facts, now=0.0, decision_id="d1")
    outcome = the_outcome(first, facts, usage=None, **changes)
    if not is_reported_late:
        judging.record(outcome, 0.9)
    judging.route(facts, now=1.0, decision_id="d2")
    if is_reported_late:
        judging.record(outcome, 1.1)

    assert 0 == samples(judging)
    assert () == judging.sessions.history("s", 1.2).judged_models


@pytest.mark.parametrize("is_reported_late", [False, True])
def test_asking_again_after_an_answer_teaches_that_it_was_wrong(
    judging: Router, make_facts: Callable[..., RequestFacts], is_reported_late: bool
) -> None:
    """Once, also when the client is faster than Envoy's report; later lessons of the session know of the failure."""
    told: list[Lesson] = []
    judging.lessons.tell = told.append
    facts = make_facts(session="s")
    outcome = the_outcome(judging.route(facts, now=0.0, decision_id="d1"), facts)
    if not is_reported_late:
        judging.record(outcome, 0.9)
    judging.route(facts, now=1.0, decision_id="d2")
    if is_reported_late:
        judging.record(outcome, 1.1)
    judging.lessons.judge("d2", "another", is_correct=True)

    assert 1 == samples(judging)
    assert [("a", False, ()), ("another", True, ("a",))] == [
        (lesson.model, lesson.is_correct, lesson.after) for lesson in told
    ]


def the_verdict(plan: Plan, **changes: Any) -> VerdictRecord:
    """Verification rejects the answer of the plan's first attempt, which is delivered for want of a better one."""
    first = plan.attempts[0]
    values: dict[str, Any] = {
        "decision_id": plan.decision_id,
        "model": first.model,
        "address": first.address,
        "chance": first.chance,
        "is_correct": False,
        "goes_on": False,
    }
    return VerdictRecord(**{**values, **changes})


@pytest.mark.parametrize("comes_first", ["words", "request"])
def test_a_rejected_answer_teaches_once_whatever_its_client_says_besides(
    judging: Router, make_facts: Callable[..., RequestFacts], comes_first: str
) -> None:
    """Verification and the client, in words and by asking again, say one and the same thing."""
    facts = make_facts(session="s")
    plan = judging.route(facts, now=0.0, decision_id="d1")
    judging.record_verdict(the_verdict(plan), 0.8)
    if comes_first == "request":
        judging.record(the_outcome(plan, facts), 0.9)
    assert judging.feedback("s", attempt=1, is_correct=False, now=1.0)
    judging.route(facts, now=1.1, decision_id="d2")
    if comes_first == "words":
        judging.record(the_outcome(plan, facts), 1.2)

    assert 1 == samples(judging)
