from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from extproc.calibrate.outcome import DecisionRecord, Outcome, TryRecord, Usage
from extproc.decide.attempts import AttemptContext, CarriedAttempt, CarriedPlan
from extproc.decide.budget import OutputProvision
from extproc.decide.first_correct import Objective
from extproc.decide.order import Policy
from extproc.decide.plan import Plan
from extproc.decide.planner import PlanPolicy, Verification
from extproc.decide.weights import Overrides, Reference
from extproc.decide.witness import Witness
from extproc.errors import ModelNotFoundError
from extproc.estimate.answer_limits import AnswerLimitEstimator
from extproc.estimate.forecast import Estimators
from extproc.estimate.latency import LatencyEstimator
from extproc.estimate.output_length import OutputLengthEstimator
from extproc.estimate.quality.estimator import QualityEstimator
from extproc.estimate.quality.model import QualityModel
from extproc.estimate.tokens import PromptTokenEstimator
from extproc.facts.grams import hash_grams
from extproc.facts.request import Api, RequestFacts
from extproc.facts.text import Category, TextProfile
from extproc.facts.wish import Wish
from extproc.fleet.snapshot import FleetTable
from extproc.fleet.topology import Cluster, Fleet, Speed
from extproc.fleet.vllm_metrics import InstanceMetrics
from extproc.router import EXPIRY_GRACE_SECONDS, Router
from extproc.sessions.book import SessionBook

POLICY = PlanPolicy(
    policy=Policy.LEAST_WORK,
    max_attempts=3,
    request_timeout_seconds=60.0,
    per_try_timeout_seconds=None,
    union_cluster="fleet",
)
PROVISION = OutputProvision(quantile=0.9)


@pytest.fixture
def make_router(make_fleet: Callable[..., Fleet]) -> Callable[..., Router]:
    """A router of two short and two long instances of model a, by any policy."""

    def make(policy: PlanPolicy = POLICY, fleet: Fleet | None = None) -> Router:
        fleet = fleet or make_fleet()
        return Router(
            fleet,
            policy,
            output_provision=PROVISION,
            prompts=PromptTokenEstimator(),
            estimators=Estimators(
                quality=QualityEstimator(),
                latency=LatencyEstimator(FleetTable.of(fleet)),
                outputs=OutputLengthEstimator(),
                limits=AnswerLimitEstimator(),
            ),
            sessions=SessionBook(),
            rng=np.random.default_rng(1),
        )

    return make


@pytest.fixture
def router(make_router: Callable[..., Router]) -> Router:
    """One that chooses by predicted work."""
    return make_router()


def the_outcome(plan: Plan, facts: RequestFacts, **changes: Any) -> Outcome:
    """What Envoy reports when the plan's first instance answered."""
    record = DecisionRecord(
        decision_id=plan.decision_id,
        api=facts.api,
        model=plan.attempts[0].model,
        pool=plan.pool,
        cluster=plan.route_cluster,
        prompt_tokens=plan.budget.prompt_tokens if plan.budget else None,
        prompt_tokens_upper=plan.budget.prompt_tokens_upper if plan.budget else None,
        output_tokens=plan.budget.output_tokens if plan.budget else None,
        output_is_given=plan.budget.output_is_given if plan.budget else False,
        text=facts.text,
        prompt_token_ids=0,
        messages=facts.messages,
        images=0,
        choices=1,
    )
    values: dict[str, Any] = {
        "request_id": facts.request_id,
        "traceparent": "",
        "started_unix_seconds": 0.0,
        "decision": record,
        "served_address": plan.attempts[0].address,
        "attempts": 1,
        "status": 200,
        "flags": (),
        "usage": Usage(prompt_tokens=100, completion_tokens=20),
        "ttft_seconds": 0.1,
        "e2e_seconds": 1.0,
    }
    return Outcome(**{**values, **changes})


def test_a_request_is_charged_until_its_outcome(
    router: Router, make_facts: Callable[..., RequestFacts]
) -> None:
    """Two requests go to different instances, and their outcomes clear the book."""
    facts = make_facts(max_output_tokens=50)
    first = router.route(facts, now=0.0, decision_id="d1")
    second = router.route(facts, now=0.0, decision_id="d2")

    assert first.attempts[0].address != second.attempts[0].address
    assert router.book.in_flight == 2
    router.record(the_outcome(first, facts), 1.0)
    router.record(the_outcome(second, facts), 1.0)
    assert router.book.in_flight == 0
    assert set(router.book.sequences_by_address().values()) == {0}


def test_stages_are_told_in_order(router: Router, make_facts: Callable[..., RequestFacts]) -> None:
    """A listener hears the end of each stage once."""
    stages: list[str] = []
    router.route(make_facts(), now=0.0, decision_id="d", on_stage=stages.append)

    assert ["eligible", "estimate", "assign"] == stages


def test_a_refused_request_is_not_charged(router: Router, make_facts: Callable[..., RequestFacts]) -> None:
    """An error leaves the book as it was."""
    with pytest.raises(ModelNotFoundError):
        router.route(make_facts(model="nobody"), now=0.0, decision_id="d")

    assert router.book.in_flight == 0


def test_an_abandoned_plan_is_taken_back(router: Router, make_facts: Callable[..., RequestFacts]) -> None:
    """A plan that Envoy never heard of is not work for anybody."""
    router.abandon(router.route(make_facts(), now=0.0, decision_id="d"))

    assert router.book.in_flight == 0


def test_a_failed_try_moves_the_charge_and_makes_suspect(
    router: Router, make_facts: Callable[..., RequestFacts]
) -> None:
    """The next instance of the plan is charged, and new requests avoid the one that failed."""
    facts = make_facts()
    plan = router.route(facts, now=0.0, decision_id="d")
    failed, following = (attempt.address for attempt in plan.attempts[:2])
    router.record_try(TryRecord(decision_id="d", address=failed, status=503, flags=(), is_failure=True), 0.1)

    assert (0, 1) == tuple(router.book.sequences_by_address()[a] for a in (failed, following))
    assert router.route(facts, now=0.2, decision_id="e").attempts[0].address == following


def test_a_good_try_moves_nothing(router: Router, make_facts: Callable[..., RequestFacts]) -> None:
    """Only failures pass a charge on."""
    plan = router.route(make_facts(), now=0.0, decision_id="d")
    first = plan.attempts[0].address
    router.record_try(TryRecord(decision_id="d", address=first, status=200, flags=(), is_failure=False), 0.1)

    assert router.book.sequences_by_address()[first] == 1


def test_an_overflow_moves_the_charge_without_suspicion(
    router: Router, make_facts: Callable[..., RequestFacts]
) -> None:
    """A context-length rejection that the plan provides for is nobody's failure; the roomier instance is charged."""
    text = TextProfile(((next(iter(Category)), 25_000),))
    plan = router.route(make_facts(text=text, max_output_tokens=50), now=0.0, decision_id="d")
    short, long = (attempt.address for attempt in plan.attempts[:2])
    rejected = TryRecord(decision_id="d", address=short, status=400, flags=(), is_failure=False)

    assert (short,) == plan.overflow_addresses
    assert router.record_try(rejected, 0.1) is True
    assert (0, 1) == tuple(router.book.sequences_by_address()[a] for a in (short, long))
    assert not router.book.snapshot(0.1).suspect.any()
    assert router.record_try(rejected, 0.2) is True
    assert router.book.sequences_by_address()[long] == 1


def test_an_answer_clears_suspicion_of_who_served(
    router: Router, make_facts: Callable[..., RequestFacts]
) -> None:
    """The instance that really served is credited, whichever was planned first."""
    facts = make_facts()
    plan = router.route(facts, now=0.0, decision_id="d")
    served = plan.attempts[1].address
    router.book.observe_failure(served, 0.0)
    router.record(the_outcome(plan, facts, served_address=served, attempts=2), 0.5)

    snapshot = router.book.snapshot(0.5)
    assert not snapshot.suspect[snapshot.table.row_by_address[served]]


def test_what_is_never_reported_expires(router: Router, make_facts: Callable[..., RequestFacts]) -> None:
    """A request cannot stay in the book longer than its timeout and a grace."""
    plan = router.route(make_facts(), now=10.0, decision_id="d")

    assert router.book.expire(10.0 + plan.timeout_seconds + EXPIRY_GRACE_SECONDS - 0.1) == 0
    assert router.book.expire(10.0 + plan.timeout_seconds + EXPIRY_GRACE_SECONDS) == 1


def test_a_request_that_is_passed_through_occupies_no_sequence(
    router: Router, make_facts: Callable[..., RequestFacts]
) -> None:
    """Nobody knows what it costs; it is in the book but weighs nothing."""
    plan = router.route(make_facts(api=Api.OTHER, model=None), now=0.0, decision_id="d")

    assert plan.budget is None
    assert router.book.in_flight == 1
    assert set(router.book.sequences_by_address().values()) == {0}


def test_scrapes_steer_the_choice(router: Router, make_facts: Callable[..., RequestFacts]) -> None:
    """An instance that others keep busy is avoided."""
    busy, idle = router.book.table.addresses[:2]
    metrics = InstanceMetrics(
        running=3, waiting=0, kv_usage=0.1, preemptions_total=0, kv_capacity_tokens=None
    )
    router.observe(busy, metrics, 0.0)

    firsts = {router.route(make_facts(), now=0.0, decision_id=f"d{i}").attempts[0].address for i in range(2)}
    assert firsts == {idle}


def test_outcomes_sharpen_the_estimate(router: Router, make_facts: Callable[..., RequestFacts]) -> None:
    """After reports of twice the expected tokens, the budget of the same prompt has grown."""
    facts = make_facts(max_output_tokens=50)
    before = router.route(facts, now=0.0, decision_id="d0").budget
    assert before is not None
    for number in range(1, 60):
        plan = router.route(facts, now=0.0, decision_id=f"d{number}")
        usage = Usage(prompt_tokens=2 * before.prompt_tokens, completion_tokens=20)
        router.record(the_outcome(plan, facts, usage=usage), 0.1)
    after = router.route(facts, now=0.0, decision_id="last").budget

    assert after is not None
    assert after.prompt_tokens == pytest.approx(2 * before.prompt_tokens, rel=0.1)


def test_a_new_fleet_is_used_at_once(
    router: Router,
    make_fleet: Callable[..., Fleet],
    make_cluster: Callable[..., Cluster],
    make_facts: Callable[..., RequestFacts],
) -> None:
    """Requests go to the new instances, and those in flight on old ones end without trouble."""
    facts = make_facts()
    plan = router.route(facts, now=0.0, decision_id="d")
    router.replace(
        make_fleet(make_cluster("b", model="b")), replace(POLICY, max_attempts=1), output_provision=PROVISION
    )

    fresh = router.route(facts, now=1.0, decision_id="e")
    assert ("b", 1) == (fresh.attempts[0].model, len(fresh.attempts))
    router.record(the_outcome(plan, facts), 1.0)
    assert router.book.in_flight == 1


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

    assert "preset=cost; not allowed, by the gateway's operator" == wishing.wish
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
        decision_id="1", plan=plan, position=0, number=1, reason="expectation", elapsed_seconds=1.0
    )

    assert expected == router.goes_on(context, 0.0)


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
        decision_id="1", plan=plan, position=0, number=1, reason="transport.context-full", elapsed_seconds=1.0
    )

    assert router.goes_on(context, 0.0) == (True, "was_cut")


def test_verdicts_teach_where_long_answers_are_wrong(
    make_router: Callable[..., Router], make_facts: Callable[..., RequestFacts]
) -> None:
    """Once a hundred answers were judged, a plan that may go on limits the model whose long answers never are right."""
    router = make_router(replace(POLICY, policy=Policy.FIRST_CORRECT, verification=Verification.ALWAYS))
    for number in range(400):
        runs_on = number % 4 == 0
        router.record_verdict(
            str(number),
            model="a",
            address="",
            chance=None,
            is_correct=not runs_on,
            goes_on=False,
            completion_tokens=3000 if runs_on else 50 + number % 40,
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


class _BrokenEstimator(QualityEstimator):
    def learn_against(self, model: str, *, expected: float, correct: bool) -> None:
        raise ZeroDivisionError


def test_a_mistake_in_learning_never_costs_a_request(
    make_router: Callable[..., Router], make_facts: Callable[..., RequestFacts]
) -> None:
    """Verdicts, feedback and the next request of a session go on, and the mistake is told each time."""
    router = make_router(replace(POLICY, policy=Policy.FIRST_CORRECT))
    router._estimators = replace(router._estimators, quality=_BrokenEstimator())
    told: list[str] = []
    router.on_learning_failure = lambda error: told.append(type(error).__name__)
    facts = make_facts(session="s")
    router.route(facts, now=0.0, decision_id="d1")
    plan = router.route(facts, now=1.0, decision_id="d2")
    router.record_verdict(
        "d2",
        model="a",
        address=plan.attempts[0].address,
        chance=0.5,
        is_correct=False,
        goes_on=True,
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
