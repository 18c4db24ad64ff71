from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from extproc.calibrate.outcome import VerdictRecord
from extproc.decide.attempts import AttemptContext, CarriedAttempt, CarriedPlan, Continuation
from extproc.decide.first_correct import Objective
from extproc.decide.order import Policy
from extproc.decide.planner import Verification
from extproc.decide.weights import Overrides, Reference
from extproc.decide.witness import Witness
from extproc.estimate.quality.estimator import QualityEstimator
from extproc.estimate.quality.model import QualityModel
from extproc.facts.grams import hash_grams
from extproc.facts.request import RequestFacts
from extproc.facts.text import Category, TextProfile
from extproc.facts.wish import Wish
from extproc.fleet.topology import Cluster, Fleet, Speed
from extproc.protocol.attempt_plan import decode_attempt_plan, encode_attempt_plan
from extproc.router import Router
from tests.unit.routing import POLICY, PROVISION, the_outcome


def said(continuation: Continuation) -> tuple[bool, str]:
    """Whether a plan goes on, and why."""
    return continuation.goes_on, continuation.reason


def test_words_are_wanted_by_policies_that_weigh_quality_with_a_model_of_words(
    router: Router, make_fleet: Callable[..., Fleet], make_quality_model: Callable[..., QualityModel]
) -> None:
    """Neither such a policy nor such a model alone asks for them."""
    quality = router._estimators.quality
    with_words = make_quality_model(("a", "b"), good_words="river")
    wanted = []
    for policy in (Policy.LEAST_WORK, Policy.FIRST_CORRECT):
        router.replace(make_fleet(), replace(POLICY, policy=policy), output_provision=PROVISION)
        for model in (make_quality_model(("a", "b")), with_words):
            quality.replace(model)
            wanted.append(router.reads_words)

    assert [False, False, False, True] == wanted


def test_words_move_the_chances_of_a_plan(
    make_router: Callable[..., Router],
    make_facts: Callable[..., RequestFacts],
    make_quality_model: Callable[..., QualityModel],
) -> None:
    """A prompt of words that the fit knows to be easy has a greater chance than one of hard ones."""
    router = make_router(replace(POLICY, policy=Policy.FIRST_CORRECT))
    router._estimators.quality.replace(
        make_quality_model(("a", "b"), (0.0, 0.0), good_words="river", bad_words="lemma")
    )
    chances = [
        router.route(make_facts(grams=hash_grams([words])), now=0.0, decision_id=words).attempts[0].chance
        for words in ("river", "lemma")
    ]

    assert chances == pytest.approx([1 / (1 + math.exp(-3)), 1 / (1 + math.exp(3))], abs=0.01)


WISHING = replace(
    POLICY,
    policy=Policy.FIRST_CORRECT,
    verification=Verification.ALWAYS,
    overrides=Overrides(presets=frozenset({"latency"}), reference=Reference(seconds=60.0, usd=0.001)),
)


def test_a_granted_wish_plans_one_request_alone(
    make_router: Callable[..., Router], make_facts: Callable[..., RequestFacts]
) -> None:
    """The plan carries what the wish makes of the objective; the next request is planned as the operator says."""
    router = make_router(WISHING)
    wishing = router.route(make_facts(wish=Wish(preset="latency")), now=0.0, decision_id="1")
    plain = router.route(make_facts(), now=0.0, decision_id="2")

    assert wishing.objective is not None
    assert pytest.approx((7.5, 7_500.0)) == (
        wishing.objective.worth_seconds,
        wishing.objective.seconds_per_usd,
    )
    assert "preset=latency" == wishing.wish
    assert (None, "") == (plain.objective, plain.wish)


def test_a_wish_that_is_not_granted_leaves_the_plan_as_it_is(
    make_router: Callable[..., Router], make_facts: Callable[..., RequestFacts]
) -> None:
    """But for the words about it, which say so."""
    wishing = make_router(WISHING).route(make_facts(wish=Wish(preset="cost")), now=0.0, decision_id="1")
    plain = make_router(WISHING).route(make_facts(), now=0.0, decision_id="1")

    assert "preset=cost; not allowed: the gateway's operator does not offer it" == wishing.wish
    assert plain == replace(wishing, wish="")


@pytest.mark.parametrize(
    ("objective", "expected"),
    [
        (None, (True, "worth_it")),
        (Objective(worth_seconds=0.01, congestion_weight=1.0, seconds_per_usd=0.0), (False, "not_worth_it")),
        (Objective(worth_seconds=60.0, congestion_weight=1.0, seconds_per_usd=1e9), (False, "not_worth_it")),
    ],
)
def test_a_carried_objective_decides_between_attempts(
    make_router: Callable[..., Router], objective: Objective | None, expected: tuple[bool, str]
) -> None:
    """Time and money weigh in the next attempt as the client's granted wish says; without one, as the operator does."""
    router = make_router(WISHING)
    first, second, *_ = router.book.table.addresses
    plan = CarriedPlan(
        attempts=(
            CarriedAttempt(address=first, model="a", chance=0.5),
            CarriedAttempt(address=second, model="a", chance=0.5),
        ),
        max_retries=1,
        is_verified=True,
        objective=objective,
        prompt_tokens=100,
    )
    context = AttemptContext(
        decision_id="1",
        plan=plan,
        made=(0,),
        rejected=(0,),
        number=1,
        reason="expectation",
        elapsed_seconds=1.0,
    )

    assert expected == said(router.continuation(context, 0.0))


def test_an_answer_that_was_cut_is_followed_by_the_next_attempt(make_router: Callable[..., Router]) -> None:
    """However little a correct answer is worth: what the client would get is no whole answer."""
    router = make_router(WISHING)
    first, second, *_ = router.book.table.addresses
    plan = CarriedPlan(
        attempts=(
            CarriedAttempt(address=first, model="a", chance=0.5, max_tokens=100),
            CarriedAttempt(address=second, model="a", chance=0.01),
        ),
        max_retries=1,
        is_verified=True,
        objective=Objective(worth_seconds=0.01, congestion_weight=1.0, seconds_per_usd=0.0),
        prompt_tokens=100,
    )
    context = AttemptContext(
        decision_id="1",
        plan=plan,
        made=(0,),
        rejected=(0,),
        number=1,
        reason="transport.context-full",
        elapsed_seconds=1.0,
    )

    late = replace(context, plan=replace(plan, deadline_seconds=1.001))

    assert said(router.continuation(context, 0.0)) == (True, "was_cut")
    assert said(router.continuation(late, 0.0)) == (False, "deadline")


def test_the_clients_own_limit_bounds_what_a_next_attempt_is_expected_to_take(
    make_router: Callable[..., Router],
) -> None:
    """With room for a few tokens only, an attempt fits before a deadline that answers of usual length would miss."""
    router = make_router(WISHING)
    first, second, *_ = router.book.table.addresses
    plan = CarriedPlan(
        attempts=(
            CarriedAttempt(address=first, model="a", chance=0.5),
            CarriedAttempt(address=second, model="a", chance=0.5),
        ),
        max_retries=1,
        is_verified=True,
        deadline_seconds=2.5,
        prompt_tokens=100,
    )
    context = AttemptContext(
        decision_id="1",
        plan=plan,
        made=(0,),
        rejected=(0,),
        number=1,
        reason="expectation",
        elapsed_seconds=1.0,
    )

    assert said(router.continuation(context, 0.0)) == (False, "deadline")
    shorter = replace(context, plan=replace(plan, output_limit_tokens=8))
    assert said(router.continuation(shorter, 0.0)) == (True, "worth_it")


def test_verdicts_teach_where_long_answers_are_wrong(
    make_router: Callable[..., Router], make_facts: Callable[..., RequestFacts]
) -> None:
    """Once a hundred answers were judged, a plan that may go on limits the model whose long answers never are right."""
    router = make_router(replace(POLICY, policy=Policy.FIRST_CORRECT, verification=Verification.ALWAYS))
    for number in range(400):
        runs_on = number % 4 == 0
        router.record_verdict(
            VerdictRecord(
                decision_id=str(number),
                model="a",
                address="",
                chance=None,
                is_correct=not runs_on,
                goes_on=False,
                completion_tokens=3000 if runs_on else 50 + number % 40,
            ),
            now=float(number),
        )

    found = router._estimators.limits.limits("a")
    assert found is not None
    assert found.mean_share[found.right_share > 0.99].min() < 0.2


def test_the_price_of_a_plan_includes_its_retries(
    make_router: Callable[..., Router], make_facts: Callable[..., RequestFacts]
) -> None:
    """A verified plan's later attempts are paid for when all before them failed; stand-ins are not expected to be."""
    plan = make_router(WISHING).route(make_facts(), now=0.0, decision_id="1")
    first = replace(plan.attempts[0], chance=0.75, cost_usd=1.0)
    second = replace(first, chance=0.5, cost_usd=2.0)
    stand_in = replace(first, chance=None, cost_usd=4.0)
    attempts = (first, second, stand_in)

    assert 1.5 == replace(plan, attempts=attempts, is_verified=True).expected_usd
    assert 1.0 == replace(plan, attempts=attempts, is_verified=False).expected_usd
    assert replace(plan, attempts=(stand_in,), is_verified=True).expected_usd is None


def test_a_witness_takes_note_of_what_was_looked_at(
    make_router: Callable[..., Router], make_facts: Callable[..., RequestFacts]
) -> None:
    """Of a forecasting policy its figures and ranking, of the others the predicted work; the plan is the same."""
    weighed, by_work = Witness(), Witness()
    plan = make_router(WISHING).route(make_facts(), now=0.0, decision_id="1", witness=weighed)
    make_router().route(make_facts(), now=0.0, decision_id="1", witness=by_work)

    assert plan == make_router(WISHING).route(make_facts(), now=0.0, decision_id="1")
    assert weighed.case is not None
    assert weighed.ranking is not None
    first = int(weighed.case.predictions.rows[weighed.ranking.positions[0]])
    assert weighed.snapshot is not None
    assert plan.attempts[0].address == weighed.snapshot.table.addresses[first]
    assert plan.budget == weighed.budget == by_work.budget
    assert weighed.work_seconds is None
    assert by_work.work_seconds is not None
    assert len(by_work.work_seconds) == len(weighed.snapshot.table)
    assert by_work.case is None


def test_a_mistake_in_learning_never_costs_a_request(
    make_router: Callable[..., Router],
    make_facts: Callable[..., RequestFacts],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Verdicts, feedback and the next request of a session go on, and the mistake is told each time."""

    def stumble(*_arguments: Any, **_named: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(QualityEstimator, "learn_against", stumble)
    router = make_router(replace(POLICY, policy=Policy.FIRST_CORRECT))
    told: list[str] = []
    router.on_learning_failure = lambda error: told.append(type(error).__name__)
    facts = make_facts(session="s")
    router.record(the_outcome(router.route(facts, now=0.0, decision_id="d1"), facts), 0.5)
    plan = router.route(facts, now=1.0, decision_id="d2")
    router.record_verdict(
        VerdictRecord(
            decision_id="d2",
            model="a",
            address=plan.attempts[0].address,
            chance=0.5,
            is_correct=False,
            goes_on=True,
        ),
        now=2.0,
    )

    assert router.feedback("s", attempt=2, is_correct=True, now=2.0)
    assert plan.attempts
    assert ["ZeroDivisionError"] * 3 == told


def test_replayed_feedback_teaches_no_more_than_it_did(
    make_router: Callable[..., Router], make_facts: Callable[..., RequestFacts]
) -> None:
    """Thousands of verdicts on one answer, alike or in turn, move the model by two steps at most."""
    router = make_router(replace(POLICY, policy=Policy.FIRST_CORRECT))
    router.route(make_facts(session="s"), now=0.0, decision_id="d")
    for turn in range(3_000):
        router.feedback("s", attempt=1, is_correct=turn % 2 == 0, now=1.0)
        router.feedback("s", attempt=1, is_correct=False, now=1.0)

    assert router._estimators.quality.samples("a") <= 2


def test_a_suspect_instance_is_not_first_while_another_pool_serves_its_model(
    make_router: Callable[..., Router],
    make_facts: Callable[..., RequestFacts],
    make_cluster: Callable[..., Cluster],
    make_fleet: Callable[..., Fleet],
) -> None:
    """A model whose every instance of the chosen pool failed lately is tried in another pool; the pool's others stay."""
    slow = Speed(
        iteration_base_seconds=0.1, iteration_per_sequence_seconds=0.01, prefill_tokens_per_second=100.0
    )
    fleet = make_fleet(
        make_cluster("a-short"),
        make_cluster("b-short", model="b", speed=slow),
        make_cluster("a-long", pool="long", max_model_len=65536),
    )
    router = make_router(replace(POLICY, policy=Policy.LOAD_AWARE), fleet)
    instances = {c.name: [i.address for i in c.instances] for c in fleet.clusters}
    before = router.route(make_facts(), now=0.0, decision_id="1")
    for address in instances["a-short"]:
        router.book.observe_failure(address, 0.0)
    after = router.route(make_facts(), now=0.0, decision_id="2")

    assert before.attempts[0].address in instances["a-short"]
    assert after.attempts[0].address in instances["a-long"]


@pytest.mark.parametrize("is_deterministic", [True, False])
def test_a_session_does_not_repeat_what_must_repeat_itself(
    make_router: Callable[..., Router],
    make_cluster: Callable[..., Cluster],
    make_fleet: Callable[..., Fleet],
    make_facts: Callable[..., RequestFacts],
    is_deterministic: bool,
) -> None:
    """A model that failed is left out of the next plan when it would answer the same; when all have failed, all are back."""
    fleet = make_fleet(
        make_cluster("good", model="good", quality_prior=0.95),
        make_cluster("poor", model="poor", quality_prior=0.02),
    )
    router = make_router(
        replace(POLICY, policy=Policy.FIRST_CORRECT, verification=Verification.ALWAYS), fleet
    )
    router._estimators.quality.declare({"good": 0.95, "poor": 0.02})
    facts = make_facts(session="s", is_deterministic=is_deterministic, max_output_tokens=50)
    planned: list[list[str]] = []
    for number in range(3):
        plan = router.route(facts, now=float(number), decision_id=f"d{number}")
        planned.append([attempt.model for attempt in plan.attempts])
        router.record(the_outcome(plan, facts), float(number) + 0.5)

    assert "good" == planned[0][0]
    assert is_deterministic == ("good" not in planned[1])
    assert planned[2], "somebody is asked"
    assert not router.sessions.history("another", 9.0).failed_models


@pytest.mark.parametrize("is_larger_there", [True, False])
def test_a_doubtful_prompt_has_a_larger_instance_of_its_model_second(
    make_router: Callable[..., Router],
    make_facts: Callable[..., RequestFacts],
    make_fleet: Callable[..., Fleet],
    make_cluster: Callable[..., Cluster],
    make_quality_model: Callable[..., QualityModel],
    is_larger_there: bool,
) -> None:
    """A verified plan, too, goes on with the model that had no room before it asks another one."""
    fleet = make_fleet(
        make_cluster("a-short"),
        make_cluster("a-long", pool="long", max_model_len=65536 if is_larger_there else 8192),
        make_cluster("b-long", model="b", pool="long", max_model_len=65536),
    )
    router = make_router(
        replace(POLICY, policy=Policy.FIRST_CORRECT, verification=Verification.ALWAYS), fleet
    )
    router._estimators.quality.replace(make_quality_model(("a", "b"), (2.0, 0.0)))
    doubtful = make_facts(text=TextProfile(((Category.SYMBOLS, 9_000),)), max_output_tokens=200)
    plan = router.route(doubtful, now=0.0, decision_id="1")
    short, second = plan.attempts[0], plan.attempts[1]

    assert ("a-short", is_larger_there) == (short.cluster, second.cluster == "a-long")
    assert is_larger_there is (plan.overflow_addresses[:1] == (short.address,) and second.model == "a")
    assert "b" in {attempt.model for attempt in plan.attempts}
    assert plan.max_retries == len(plan.attempts) - 1 <= 2


def test_what_a_session_took_counts_as_its_time_and_not_against_a_deadline(
    make_router: Callable[..., Router], make_facts: Callable[..., RequestFacts]
) -> None:
    """The next request of a session that began long before has all the time that it asks for."""
    router = make_router(replace(POLICY, policy=Policy.FIRST_CORRECT, verification=Verification.ALWAYS))
    facts = make_facts(session="s", deadline_seconds=30.0)
    router.route(facts, now=100.0, decision_id="1", unix_ms=1_000_000)
    late = router.route(facts, now=500.0, decision_id="2", unix_ms=1_400_000)

    assert (30.0, 400.0, 1_400_000) == (late.timeout_seconds, late.elapsed_seconds, late.decided_unix_ms)
    carried = decode_attempt_plan(encode_attempt_plan(late, facts, None))
    assert (1_000_000, 430.0) == (carried.started_unix_ms, carried.deadline_seconds)
