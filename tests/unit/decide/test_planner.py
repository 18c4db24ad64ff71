from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from extproc.decide.eligible import eligible
from extproc.decide.first_correct import Ranking
from extproc.decide.order import Policy
from extproc.decide.plan import Plan, TokenBudget
from extproc.decide.planner import PlanPolicy, Verification, plan_passthrough, plan_ranked, plan_request
from extproc.decide.pools import choose_pool
from extproc.decide.sequence import Step
from extproc.errors import BadRequestError
from extproc.estimate.predictions import Predictions
from extproc.estimate.quality.model import QualityModel
from extproc.facts.request import Api, RequestFacts
from extproc.fleet.snapshot import FleetSnapshot
from extproc.fleet.topology import Cluster, Fleet, Instance
from extproc.router import Router
from tests.unit.routing import POLICY


@pytest.fixture
def plan(
    make_facts: Callable[..., RequestFacts], make_policy: Callable[..., PlanPolicy]
) -> Callable[..., Plan]:
    """Plan a request of a given budget on a given snapshot."""

    def plan(snapshot: FleetSnapshot, budget: TokenBudget, *, model: str = "auto", **policy: Any) -> Plan:
        facts = make_facts(model=model)
        return plan_request(
            facts,
            budget,
            eligible(facts, snapshot),
            snapshot=snapshot,
            policy=make_policy(**policy),
            rng=np.random.default_rng(1),
            decision_id="decision-1",
        )

    return plan


def test_a_small_request_stays_in_its_cluster(
    make_fleet: Callable[..., Fleet],
    make_snapshot: Callable[..., FleetSnapshot],
    make_budget: Callable[..., TokenBudget],
    plan: Callable[..., Plan],
) -> None:
    """Two instances suffice to fail over, so the plan takes Envoy's plain cluster."""
    snapshot = make_snapshot(make_fleet(), sequences=[3, 1, 0, 0])
    result = plan(snapshot, make_budget(200))

    assert [snapshot.table.addresses[1], snapshot.table.addresses[0]] == [a.address for a in result.attempts]
    assert ("a-short", 1, "short", "a", ()) == (
        result.route_cluster,
        result.max_retries,
        result.pool,
        result.model,
        result.overflow_addresses,
    )


def test_a_concrete_model_is_not_rewritten(
    make_fleet: Callable[..., Fleet],
    make_snapshot: Callable[..., FleetSnapshot],
    make_budget: Callable[..., TokenBudget],
    plan: Callable[..., Plan],
) -> None:
    """The body already names the model that serves."""
    assert plan(make_snapshot(make_fleet()), make_budget(200), model="a").model is None


def test_a_verified_request_is_planned_by_any_policy(
    make_fleet: Callable[..., Fleet],
    make_snapshot: Callable[..., FleetSnapshot],
    make_budget: Callable[..., TokenBudget],
    plan: Callable[..., Plan],
) -> None:
    """By way of the union cluster, where answers are held back; nobody looks at chances."""
    result = plan(make_snapshot(make_fleet()), make_budget(200), verification=Verification.ALWAYS)

    assert result.is_verified
    assert ("fleet", 1) == (result.route_cluster, result.max_retries)
    assert {None} == {attempt.chance for attempt in result.attempts}
    assert not plan(make_snapshot(make_fleet()), make_budget(200)).is_verified


@pytest.mark.parametrize(
    ("own", "usual", "expected"), [(None, None, 60.0), (5.0, None, 5.0), (None, 7.0, 7.0), (5.0, 2.0, 5.0), (90.0, None, 60.0)]
)  # fmt: skip
def test_a_deadline_ends_a_request_by_any_policy(
    make_fleet: Callable[..., Fleet],
    make_snapshot: Callable[..., FleetSnapshot],
    make_budget: Callable[..., TokenBudget],
    make_facts: Callable[..., RequestFacts],
    make_policy: Callable[..., PlanPolicy],
    own: float | None,
    usual: float | None,
    expected: float,
) -> None:
    """The client's own, else the operator's, and never beyond the time of any request."""
    snapshot, facts = make_snapshot(make_fleet()), make_facts(deadline_seconds=own)
    result = plan_request(
        facts,
        make_budget(200),
        eligible(facts, snapshot),
        snapshot=snapshot,
        policy=make_policy(deadline_seconds=usual, request_timeout_seconds=60.0),
        rng=np.random.default_rng(1),
        decision_id="decision-1",
    )

    assert expected == result.timeout_seconds


def test_a_doubtful_prompt_has_a_roomier_instance_second(
    make_fleet: Callable[..., Fleet],
    make_snapshot: Callable[..., FleetSnapshot],
    make_budget: Callable[..., TokenBudget],
    plan: Callable[..., Plan],
) -> None:
    """A prompt that could be twice its estimate provides for the rejection: short, long, short; long never overflows."""
    snapshot = make_snapshot(make_fleet())
    addresses = snapshot.table.addresses
    result = plan(snapshot, make_budget(5000))

    assert [addresses[0], addresses[2], addresses[1]] == [a.address for a in result.attempts]
    assert ("fleet", (addresses[0],)) == (result.route_cluster, result.overflow_addresses)


def test_a_single_instance_fails_over_to_the_other_pool(
    make_cluster: Callable[..., Cluster],
    make_fleet: Callable[..., Fleet],
    make_snapshot: Callable[..., FleetSnapshot],
    make_budget: Callable[..., TokenBudget],
    plan: Callable[..., Plan],
) -> None:
    """A pool with one instance of the model borrows the other pool's for its retries, by way of the union cluster."""
    fleet = make_fleet(
        make_cluster("a-short", instances=(Instance(address="10.0.0.1:1"),)),
        make_cluster("a-long", pool="long", max_model_len=65536, instances=(Instance(address="10.0.0.1:2"),)),
    )
    result = plan(make_snapshot(fleet), make_budget(200))

    assert ["10.0.0.1:1", "10.0.0.1:2"] == [a.address for a in result.attempts]
    assert ("fleet", ()) == (result.route_cluster, result.overflow_addresses)


@pytest.mark.parametrize(
    ("model", "suspect", "expected"),
    [
        ("auto", (False, False, False), ["a", "b"]),
        ("auto", (False, True, False), ["a", "b"]),
        ("a", (False, False, False), ["a"]),
    ],
)
def test_another_model_stands_in_where_the_first_has_nobody_else(
    make_cluster: Callable[..., Cluster],
    make_fleet: Callable[..., Fleet],
    make_snapshot: Callable[..., FleetSnapshot],
    make_budget: Callable[..., TokenBudget],
    plan: Callable[..., Plan],
    model: str,
    suspect: tuple[bool, bool, bool],
    expected: list[str],
) -> None:
    """For a client that let the gateway choose; whoever names a model gets that one."""
    one = (Instance(address="10.0.0.1:1"), Instance(address="10.0.0.1:2"))[: 1 + suspect[1]]
    two = make_cluster("b-short", model="b", instances=(Instance(address="10.0.0.1:3"),))
    snapshot = make_snapshot(
        make_fleet(make_cluster("a-short", instances=one), two),
        sequences=[*([0] * len(one)), 3],
        suspect=[*suspect[: len(one)], suspect[2]],
    )
    result = plan(snapshot, make_budget(200), model=model)

    assert expected == [attempt.model for attempt in result.attempts]
    assert ("fleet" if len(expected) > 1 else "a-short") == result.route_cluster


def test_the_pool_of_a_model_that_the_chosen_one_lacks_is_told_so(
    make_router: Callable[..., Router],
    make_facts: Callable[..., RequestFacts],
    make_cluster: Callable[..., Cluster],
    make_fleet: Callable[..., Fleet],
    make_quality_model: Callable[..., QualityModel],
) -> None:
    """A short request whose better model stands in the long pool alone was not sent there for its length."""
    fleet = make_fleet(
        make_cluster("a-short"), make_cluster("b-long", model="b", pool="long", max_model_len=65536)
    )
    router = make_router(replace(POLICY, policy=Policy.FIRST_CORRECT), fleet)
    router._estimators.quality.replace(make_quality_model(("a", "b"), (-2.0, 2.0)))

    assert ("long", "model:first_correct") == operator.attrgetter("pool", "reason")(
        router.route(make_facts(), now=0.0, decision_id="1")
    )


def test_retries_keep_to_the_model_of_the_first_attempt(
    make_cluster: Callable[..., Cluster],
    make_fleet: Callable[..., Fleet],
    make_snapshot: Callable[..., FleetSnapshot],
    make_budget: Callable[..., TokenBudget],
    plan: Callable[..., Plan],
) -> None:
    """Where it has a second instance, tries go out as they are, and no attempt of the plan serves another model."""
    fleet = make_fleet(make_cluster("a-short"), make_cluster("b-short", model="b"))
    result = plan(make_snapshot(fleet, sequences=[1, 3, 0, 2]), make_budget(200))

    assert ["b", "b"] == [a.model for a in result.attempts]
    assert result.model == "b"


@pytest.mark.parametrize(
    ("deadline", "changes", "suspect", "is_verified", "is_judged", "course"),
    [
        (30.0, {}, False, False, False, "race"),
        (30.0, {}, False, False, True, "race"),
        (30.0, {}, False, True, False, "give up"),
        (30.0, {}, False, True, True, "wait"),
        (None, {}, False, False, False, "wait"),
        (4.5, {}, False, False, False, "wait"),
        (30.0, {"stream": True}, False, False, False, "wait"),
        (30.0, {}, True, False, False, "wait"),
    ],
)
def test_a_late_try_is_raced_where_that_pays(
    make_fleet: Callable[..., Fleet],
    make_snapshot: Callable[..., FleetSnapshot],
    make_budget: Callable[..., TokenBudget],
    make_facts: Callable[..., RequestFacts],
    make_policy: Callable[..., PlanPolicy],
    make_predictions: Callable[..., Predictions],
    deadline: float | None,
    changes: dict[str, Any],
    suspect: bool,
    is_verified: bool,
    is_judged: bool,
    course: str,
) -> None:
    """With time left until a deadline, a plain answer, and a next instance in good standing; else it is waited for.

    In the union cluster it is given up instead: Envoy must not race tries behind the ATTEMPT filter. An external judge may
    take longer than any try, so that a judged one is never given up.
    """
    snapshot = make_snapshot(make_fleet(), suspect=[False, suspect, False, False])
    facts = make_facts(model="auto", **changes)
    budget = make_budget(200)
    candidates = eligible(facts, snapshot)
    plan = plan_ranked(
        facts,
        budget,
        choose_pool(budget, candidates.rows, snapshot),
        Ranking(positions=(0, 1), steps=(Step(candidate=0, chance=0.7, is_worth_it=True),), reason="utility"),
        predictions=make_predictions(snapshot, chances=(0.7,), seconds=(2.0,) * 4, usd=(0.0,) * 4),
        candidates=candidates,
        snapshot=snapshot,
        policy=make_policy(is_judged=is_judged),
        decision_id="d",
        is_verified=is_verified,
        deadline_seconds=deadline,
    )

    assert (course == "race") == plan.hedges
    if course != "wait":
        assert plan.per_try_timeout_seconds is not None
        assert plan.per_try_timeout_seconds > 3.999, "the upper latency of the first attempt"
    else:
        assert plan.per_try_timeout_seconds is None


@pytest.mark.parametrize(
    ("is_verified", "second", "most", "expected", "retries"),
    [
        (True, 1, 3, [0, 1, 2, 3], 2),
        (True, 1, 5, [0, 1, 2, 3], 3),
        (True, None, 3, [0, 2, 3], 2),
        (False, 1, 3, [0, 1], 1),
    ],
)
def test_a_second_instance_takes_no_models_place(
    make_cluster: Callable[..., Cluster],
    make_fleet: Callable[..., Fleet],
    make_snapshot: Callable[..., FleetSnapshot],
    make_budget: Callable[..., TokenBudget],
    make_facts: Callable[..., RequestFacts],
    make_policy: Callable[..., PlanPolicy],
    make_predictions: Callable[..., Predictions],
    is_verified: bool,
    second: int | None,
    most: int,
    expected: list[int],
    retries: int,
) -> None:
    """It is for a first try that fails: no more tries are made, and each weighed model keeps its host."""
    clusters = [
        make_cluster("m-a", model="a"),
        *(make_cluster(f"m-{m}", model=m, instances=(Instance(address=f"10.0.1.1:{m}"),)) for m in "12"),
    ]
    snapshot = make_snapshot(make_fleet(*clusters))
    facts, budget = make_facts(model="auto"), make_budget(200)
    candidates = eligible(facts, snapshot)
    steps = tuple(Step(candidate=c, chance=0.5, is_worth_it=True) for c in range(3))
    plan = plan_ranked(
        facts,
        budget,
        choose_pool(budget, candidates.rows, snapshot),
        Ranking(positions=(0, 2, 3, 1), steps=steps, reason="utility", second_instance=second),
        predictions=make_predictions(snapshot, chances=(0.5, 0.5, 0.5), seconds=(2.0,) * 4, usd=(0.0,) * 4),
        candidates=candidates,
        snapshot=snapshot,
        policy=make_policy(max_attempts=most),
        decision_id="d",
        is_verified=is_verified,
        deadline_seconds=None,
    )

    assert [snapshot.table.addresses[row] for row in expected] == [one.address for one in plan.attempts]
    assert retries == plan.max_retries


def test_a_passed_through_request_may_go_anywhere(
    make_fleet: Callable[..., Fleet],
    make_snapshot: Callable[..., FleetSnapshot],
    make_facts: Callable[..., RequestFacts],
    make_policy: Callable[..., PlanPolicy],
) -> None:
    """It has no budget and no pool, keeps its body, and prefers whoever has least to do."""
    snapshot = make_snapshot(make_fleet(), sequences=[5, 5, 0, 5])
    facts = make_facts(api=Api.OTHER, model=None)
    result = plan_passthrough(
        facts,
        eligible(facts, snapshot),
        snapshot=snapshot,
        policy=make_policy(),
        rng=np.random.default_rng(1),
        decision_id="d",
    )

    assert snapshot.table.addresses[2] == result.attempts[0].address
    assert (None, None, "", "passthrough:other") == (result.budget, result.model, result.pool, result.reason)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    prompt=st.integers(0, 80_000),
    output=st.integers(0, 20_000),
    given_output=st.booleans(),
    max_attempts=st.integers(1, 5),
    policy=st.sampled_from(list(Policy)),
    sequences=st.lists(st.integers(0, 12), min_size=6, max_size=6),
    usable=st.lists(st.booleans(), min_size=6, max_size=6).filter(lambda u: u[2] or u[3]),
    suspect=st.lists(st.booleans(), min_size=6, max_size=6),
)
def test_every_plan_is_sound(
    make_cluster: Callable[..., Cluster],
    make_fleet: Callable[..., Fleet],
    make_snapshot: Callable[..., FleetSnapshot],
    plan: Callable[..., Plan],
    prompt: int,
    output: int,
    given_output: bool,
    max_attempts: int,
    policy: Policy,
    sequences: list[int],
    usable: list[bool],
    suspect: list[bool],
) -> None:
    """Whatever the load: no address twice, none that is draining or too small, enough hosts for the retries."""
    fleet = make_fleet(
        make_cluster("a-short"),
        make_cluster("a-long", pool="long", max_model_len=65536),
        make_cluster("b-short", model="b"),
    )
    snapshot = make_snapshot(fleet, sequences=sequences, usable=usable, suspect=suspect)
    budget = TokenBudget(
        prompt_tokens=prompt, prompt_tokens_upper=prompt, output_tokens=output, output_is_given=given_output
    )
    try:
        result = plan(snapshot, budget, max_attempts=max_attempts, policy=policy)
    except BadRequestError:
        assert prompt + (output if given_output else 1) > 65536
        return

    rows = [snapshot.table.row_by_address[a.address] for a in result.attempts]
    assert len(set(rows)) == len(rows) == result.max_retries + 1 <= max_attempts
    assert all(snapshot.usable[row] for row in rows)
    assert all(snapshot.table.max_model_len[row] >= min(budget.total_tokens, 65536) for row in rows)
    table, first = snapshot.table, rows[0]
    twins = [
        row
        for row in range(len(table))
        if row != first
        and table.model_index[row] == table.model_index[first]
        and snapshot.usable[row]
        and not snapshot.suspect[row]
        and table.max_model_len[row] >= min(budget.total_tokens, 65536)
    ]
    models = [attempt.model for attempt in result.attempts]
    # Only where nobody else has its model do others stand in, each once, in the cluster where tries are tailored.
    assert 1 == len(set(models)) or (not twins and len(set(models)) == len(models))
    assert 1 == len(set(models)) or "fleet" == result.route_cluster
    assert result.attempts[-1].address not in result.overflow_addresses
