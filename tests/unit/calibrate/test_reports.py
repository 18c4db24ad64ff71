from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from extproc.calibrate.lessons import Lesson
from extproc.calibrate.outcome import TryRecord, Usage, VerdictRecord
from extproc.decide.attempts import AttemptContext
from extproc.decide.order import Policy
from extproc.decide.plan import Plan
from extproc.decide.planner import Verification
from extproc.estimate.answer_limits import AnswerLimitEstimator
from extproc.estimate.latency import LatencyEstimator
from extproc.estimate.latency_records import LoadAtDecision
from extproc.estimate.output_length import OutputLengthEstimator
from extproc.facts.request import RequestFacts
from extproc.fleet.topology import Cluster, Fleet, Instance, Speed
from extproc.protocol.attempt_plan import decode_attempt_plan, encode_attempt_plan
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


@dataclass
class Taught:
    """What a router's estimators are told: instance, predicted seconds of an iteration, sequences beside; model, tokens."""

    latencies: list[tuple[str, float, float | None]] = field(default_factory=list)
    lengths: list[tuple[str, int]] = field(default_factory=list)


@pytest.fixture
def taught(monkeypatch: pytest.MonkeyPatch) -> Taught:
    """Takes note of the lessons in this test."""
    found = Taught()

    def learn_latency(_self: object, address: str, load: LoadAtDecision, **told: Any) -> None:
        found.latencies.append((address, load.iteration_seconds, told["sequences_meanwhile"]))

    def learn_length(_self: object, model: str, _text: object, tokens: int, **_told: Any) -> None:
        found.lengths.append((model, tokens))

    monkeypatch.setattr(LatencyEstimator, "learn", learn_latency)
    monkeypatch.setattr(OutputLengthEstimator, "learn", learn_length)
    return found


@pytest.fixture
def cascade(
    make_router: Callable[..., Router],
    make_fleet: Callable[..., Fleet],
    make_cluster: Callable[..., Cluster],
) -> Router:
    """A router of a quick and of a slow model, by verified plans."""
    fast = Speed(
        iteration_base_seconds=0.005, iteration_per_sequence_seconds=5e-4, prefill_tokens_per_second=2e4
    )
    slow = replace(fast, iteration_base_seconds=0.05, iteration_per_sequence_seconds=5e-3)
    fleet = make_fleet(
        make_cluster("fast", model="fast", speed=fast, instances=(Instance(address="10.0.0.1:1"),)),
        make_cluster("slow", model="slow", speed=slow, instances=(Instance(address="10.0.0.2:1"),)),
    )
    router = make_router(
        replace(POLICY, policy=Policy.FIRST_CORRECT, verification=Verification.ALWAYS), fleet
    )
    router._estimators.quality.declare({"fast": 0.6, "slow": 0.6})
    return router


@pytest.mark.parametrize("is_refused", [False, True])
def test_a_try_teaches_once_and_by_what_was_predicted_for_it(
    cascade: Router, make_facts: Callable[..., RequestFacts], taught: Taught, is_refused: bool
) -> None:
    """Also when Envoy, its retries used up, refuses the next one that was asked for, and delivers the rejected answer."""
    facts = make_facts()
    plan = cascade.route(facts, now=0.0, decision_id="d", unix_ms=1000)
    carried = decode_attempt_plan(encode_attempt_plan(plan, facts, None))
    context = AttemptContext(
        decision_id="d",
        plan=carried,
        made=(0,),
        rejected=(0,),
        number=1,
        reason="expectation.exact",
        elapsed_seconds=1.0,
    )
    following = cascade.continuation(context, 1.0).following
    assert following is not None
    second = following.attempt.address
    answer = {"prompt_tokens": 10, "completion_tokens": 200, "answer_seconds": 1.0}
    cascade.record_verdict(the_verdict(plan, goes_on=True, next_address=second, **answer), 1.0)
    served = plan.attempts[0].address if is_refused else second
    usage = Usage(prompt_tokens=10, completion_tokens=200 if is_refused else 300)
    cascade.record(
        the_outcome(plan, facts, served_address=served, attempts=1 if is_refused else 2, usage=usage), 1.5
    )

    assert ["10.0.0.1:1", "10.0.0.2:1"] == [plan.attempts[0].address, second]
    lengths = [("fast", 200)] if is_refused else [("fast", 200), ("slow", 300)]
    assert lengths == taught.lengths
    assert all(
        iteration < 0.01 if address == "10.0.0.1:1" else iteration > 0.01
        for address, iteration, _ in taught.latencies
    )
    assert (1 if is_refused else 2) == len(taught.latencies)


@pytest.mark.parametrize("beside", [0, 1, 3])
def test_what_is_beside_a_request_is_measured_while_it_lasts(
    make_router: Callable[..., Router],
    make_fleet: Callable[..., Fleet],
    make_cluster: Callable[..., Cluster],
    make_facts: Callable[..., RequestFacts],
    taught: Taught,
    beside: int,
) -> None:
    """Of requests that share an instance for their whole lives each has all others beside it, whoever ends first."""
    fleet = make_fleet(make_cluster(instances=(Instance(address="10.0.0.1:1"),)))
    router = make_router(replace(POLICY, policy=Policy.FIRST_CORRECT), fleet)
    facts = make_facts()
    plans = [router.route(facts, now=10.0, decision_id=str(number)) for number in range(1 + beside)]
    for plan in plans:
        router.record(the_outcome(plan, facts, instance_seconds=5.0), 15.0)

    assert [beside] * (1 + beside) == pytest.approx([float(found or 0.0) for _, _, found in taught.latencies])


ANSWER = {"prompt_tokens": 10, "completion_tokens": 200, "answer_seconds": 1.0}


@pytest.mark.parametrize("goes_on", [False, True])
def test_a_failure_of_the_instance_is_no_wrong_answer(
    cascade: Router, make_facts: Callable[..., RequestFacts], taught: Taught, goes_on: bool
) -> None:
    """The charge moves on; model, lengths, times and the session learn nothing, not from what is delivered either."""
    told: list[Lesson] = []
    cascade.lessons.tell = told.append
    facts = make_facts(session="s")
    plan = cascade.route(facts, now=0.0, decision_id="d")
    verdict = the_verdict(plan, is_answer=False, goes_on=goes_on, **ANSWER)
    cascade.record_verdict(verdict, 1.0)
    charged = cascade.book.sequences_by_address()
    cascade.record(the_outcome(plan, facts, usage=Usage(prompt_tokens=10, completion_tokens=200)), 1.1)
    cascade.route(facts, now=2.0, decision_id="e")

    assert (0, 1) if goes_on else (1, 0) == (charged["10.0.0.1:1"], charged["10.0.0.2:1"])
    assert ([], [], []) == (told, taught.lengths, taught.latencies)
    assert 0 == cascade._estimators.quality.samples("fast")
    assert cascade._estimators.limits.state() == AnswerLimitEstimator().state()
    assert () == cascade.sessions.history("s", 2.0).judged_models


def test_an_answer_that_the_instance_cut_teaches_its_length_once(
    cascade: Router, make_facts: Callable[..., RequestFacts], taught: Taught
) -> None:
    """Delivered as it is: the log's word on it, which knows of the client's limit alone, is not wanted."""
    facts = make_facts()
    plan = cascade.route(facts, now=0.0, decision_id="d")
    cascade.record_verdict(the_verdict(plan, was_cut=True, **ANSWER), 1.0)
    cascade.record(the_outcome(plan, facts, usage=Usage(prompt_tokens=10, completion_tokens=200)), 1.1)

    assert [("fast", 200)] == taught.lengths


def test_several_choices_say_nothing_of_an_answers_limits(
    cascade: Router, make_facts: Callable[..., RequestFacts]
) -> None:
    """Their tokens are one sum."""
    plan = cascade.route(make_facts(), now=0.0, decision_id="d")
    cascade.record_verdict(the_verdict(plan, choices=8, is_correct=True, **ANSWER), 1.0)

    assert cascade._estimators.limits.state() == AnswerLimitEstimator().state()
