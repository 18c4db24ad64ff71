from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from extproc.decide.attempts import AttemptContext, CarriedAttempt, CarriedPlan, Continuation
from extproc.decide.continuation import CUT, ContinuationPlanner
from extproc.decide.first_correct import Objective
from extproc.estimate.answer_limits import AnswerLimitEstimator
from extproc.estimate.forecast import Estimators, Forecaster
from extproc.estimate.latency import LatencyEstimator
from extproc.estimate.output_length import OutputLengthEstimator
from extproc.estimate.quality.coupling import WEIGHTS, Ability, table_of, weights_after
from extproc.estimate.quality.estimator import QualityEstimator
from extproc.facts.text import TextProfile
from extproc.fleet.snapshot import FleetSnapshot
from extproc.fleet.topology import Cluster, Fleet, Instance

OBJECTIVE = Objective(worth_seconds=100.0, congestion_weight=1.0, seconds_per_usd=0.0)


@pytest.fixture
def fleet(make_fleet: Callable[..., Fleet], make_cluster: Callable[..., Cluster]) -> Fleet:
    """Model a on one short instance, b on two short ones, a smaller and a long one, c on one."""
    hosts = {
        "a": ("a:1",),
        "b": ("b:1", "b:2"),
        "b-small": ("b:3",),
        "b-long": ("b:4",),
        "c": ("c:1",),
    }
    changes = {
        "b-small": {"model": "b", "max_model_len": 100},
        "b-long": {"model": "b", "pool": "long", "max_model_len": 65536},
    }
    return make_fleet(
        *(
            make_cluster(
                name,
                **{"model": name, **changes.get(name, {})},
                instances=tuple(Instance(address=address) for address in addresses),
            )
            for name, addresses in hosts.items()
        )
    )


@pytest.fixture
def estimators(fleet: Fleet, make_snapshot: Callable[..., FleetSnapshot]) -> Estimators:
    """Estimators that know the fleet file alone."""
    return Estimators(
        quality=QualityEstimator(),
        latency=LatencyEstimator(make_snapshot(fleet).table),
        outputs=OutputLengthEstimator(),
        limits=AnswerLimitEstimator(),
    )


Say = Callable[..., Continuation]


@pytest.fixture
def say(fleet: Fleet, make_snapshot: Callable[..., FleetSnapshot], estimators: Estimators) -> Say:
    """Say what follows a rejected answer, with sequences and suspicion by address."""

    def after(
        context: AttemptContext,
        *,
        busy: dict[str, int] | None = None,
        suspect: tuple[str, ...] = (),
        draining: tuple[str, ...] = (),
    ) -> Continuation:
        addresses = make_snapshot(fleet).table.addresses
        snapshot = make_snapshot(
            fleet,
            sequences=[float((busy or {}).get(address, 0)) for address in addresses],
            suspect=[address in suspect for address in addresses],
            usable=[address not in draining for address in addresses],
        )
        planner = ContinuationPlanner(estimators, Forecaster(estimators, snapshot.table))
        return planner.after(context, snapshot, OBJECTIVE, None)

    return after


PLAN = CarriedPlan(
    attempts=(
        CarriedAttempt(address="a:1", model="a", chance=0.6, ability=Ability(0.4, 1.5)),
        CarriedAttempt(address="b:1", model="b", chance=0.5, ability=Ability(0.8, 1.5)),
        CarriedAttempt(address="c:1", model="c", chance=0.4, ability=Ability(0.8, 1.5)),
    ),
    max_retries=2,
    is_verified=True,
    prompt_tokens=100,
    output_limit_tokens=200,
)


def rejected(
    plan: CarriedPlan = PLAN,
    made: tuple[int, ...] = (0,),
    reason: str = "expectation",
    unanswered: tuple[int, ...] = (),
) -> AttemptContext:
    """The plan after the attempts `made`, one second after it began; all but the `unanswered` ones were wrong."""
    return AttemptContext(
        decision_id="d",
        plan=plan,
        made=made,
        rejected=tuple(one for one in made if one not in unanswered),
        number=len(made),
        reason=reason,
        elapsed_seconds=1.0,
    )


def teach_long_answers_to_be_wrong(estimators: Estimators) -> None:
    """Of model b, whose answers are long as often as short."""
    rng = np.random.default_rng(1)
    for _ in range(400):
        estimators.limits.learn("b", int(rng.integers(10, 60)), is_correct=True, was_cut=False)
        estimators.limits.learn("b", int(rng.integers(500, 3000)), is_correct=False, was_cut=False)
        estimators.outputs.learn("b", TextProfile(), int(rng.integers(10, 3000)), was_cut=False)


def where(continuation: Continuation) -> tuple[int, str] | None:
    """Which attempt follows, and at which instance."""
    following = continuation.following
    return (following.position, following.attempt.address) if following else None


def test_an_idle_fleet_is_used_as_planned(say: Say) -> None:
    """The first of equals is the plan's own instance."""
    assert (1, "b:1") == where(say(rejected()))


def test_the_load_by_then_moves_an_attempt_to_another_instance(say: Say) -> None:
    """Of the same model and pool, with as much room: not to the smaller one, nor to the long pool's, which are idle too."""
    crowded = {"b:1": 4, "c:1": 4}
    assert (1, "b:2") == where(say(rejected(), busy=crowded))
    assert (1, "b:1") == where(say(rejected(), busy=crowded | {"b:2": 9}))


def test_an_instance_that_failed_since_is_avoided(say: Say) -> None:
    """And used when its model has no other one."""
    assert (1, "b:2") == where(say(rejected(), suspect=("b:1",)))
    assert (1, "b:1") == where(say(rejected(), suspect=("b:1", "b:2")))


def test_a_bound_plan_stays_where_it_was_planned(say: Say) -> None:
    """The gateway allows no other endpoint."""
    bound = replace(PLAN, is_bound=True, attempts=PLAN.attempts[:2], max_retries=1)
    assert (1, "b:1") == where(say(rejected(bound), busy={"b:1": 4}))


def test_the_load_by_then_changes_the_order_of_the_models(say: Say) -> None:
    """The chance of the one that comes first is that after the failures so far."""
    continuation = say(rejected(), busy={"b:1": 9, "b:2": 9})

    assert (2, "c:1") == where(continuation)
    table = table_of([Ability(0.4, 1.5), Ability(0.8, 1.5)])
    expected = float(table[1] @ weights_after(table, [0]))
    assert continuation.following is not None
    assert pytest.approx(expected) == continuation.following.attempt.chance
    assert expected < float(table[1] @ WEIGHTS)


def test_without_abilities_the_models_come_in_the_plans_order(say: Say) -> None:
    """Their chances are known in that order alone."""
    plain = replace(PLAN, attempts=tuple(replace(one, ability=None) for one in PLAN.attempts))
    continuation = say(rejected(plain), busy={"b:1": 9, "b:2": 9})

    assert (1, "b:1") == where(continuation)
    assert continuation.following is not None
    assert continuation.following.attempt.chance == 0.5


def test_what_was_made_is_not_made_again(say: Say) -> None:
    """Whatever the order in which it was made."""
    assert (1, "b:1") == where(say(rejected(made=(0, 2))))


def test_an_attempt_without_answer_is_made_again_elsewhere(say: Say) -> None:
    """Model b's instance failed and a was wrong: b is asked on its twin while that is not suspect, and never where it failed."""
    without = rejected(made=(1, 0), unanswered=(1,))
    again = say(without, busy={"c:1": 9})

    assert (1, "b:2") == where(again)
    assert again.following is not None
    table = table_of([Ability(0.4, 1.5), Ability(0.8, 1.5)])
    assert pytest.approx(float(table[1] @ weights_after(table, [0]))) == again.following.attempt.chance
    assert (2, "c:1") == where(say(without, busy={"c:1": 9}, suspect=("b:2",)))
    bound = replace(without, plan=replace(PLAN, is_bound=True))
    assert (2, "c:1") == where(say(bound, busy={"c:1": 9}))


def test_an_attempt_without_answer_says_nothing_of_the_others(say: Say) -> None:
    """The chance of what follows is that after the wrong answers alone."""
    both = say(rejected(made=(0, 1)))
    one = say(rejected(made=(0, 1), unanswered=(0,)))

    assert (2, "c:1") == where(both) == where(one)
    assert one.following is not None
    assert both.following is not None
    assert (one.following.attempt.chance or 0.0) > (both.following.attempt.chance or 0.0) + 0.05


def test_an_instance_that_left_the_fleet_takes_its_attempt_along(say: Say) -> None:
    """The others go on; when none is left, the plan stops."""
    gone = replace(PLAN.attempts[1], address="x:1")
    without_b = replace(PLAN, attempts=(PLAN.attempts[0], gone, PLAN.attempts[2]))

    assert (2, "c:1") == where(say(rejected(without_b)))
    alone = replace(PLAN, attempts=(PLAN.attempts[0], gone))
    assert Continuation(following=None, reason="instance_gone") == say(rejected(alone))


def test_a_draining_instance_gets_nothing_more(say: Say) -> None:
    """Its model's others stand in; where there are none, the attempt is left out."""
    assert (1, "b:2") == where(say(rejected(), busy={"c:1": 9}, draining=("b:1",)))
    assert (2, "c:1") == where(say(rejected(), draining=("b:1", "b:2")))


def test_an_address_that_serves_another_model_by_then_gets_nothing(say: Say) -> None:
    """The plan's attempt was for the model that it had."""
    moved = replace(PLAN.attempts[1], model="b-of-before")
    plan = replace(PLAN, attempts=(PLAN.attempts[0], moved, PLAN.attempts[2]))

    assert (2, "c:1") == where(say(rejected(plan)))


UNWEIGHED = CarriedPlan(
    attempts=tuple(CarriedAttempt(address=address, model="b") for address in ("b:1", "b:2")),
    max_retries=1,
    is_verified=True,
    prompt_tokens=100,
)


def test_a_plan_that_knows_no_chances_asks_the_same_model_again(say: Say) -> None:
    """Where it is cheapest by then and while there is time, unless the same answer would come."""
    again = say(rejected(UNWEIGHED), busy={"b:1": 4})

    assert ((1, "b:2"), "planned") == (where(again), again.reason)
    same = replace(UNWEIGHED, is_deterministic=True)
    assert Continuation(following=None, reason="no_further_model") == say(rejected(same))
    late = replace(UNWEIGHED, deadline_seconds=1.01)
    assert Continuation(following=None, reason="deadline") == say(rejected(late))
    # Of a plan that weighed chances, an attempt without one stands in for an instance that fails.
    weighed = replace(UNWEIGHED, attempts=(PLAN.attempts[0], UNWEIGHED.attempts[1]))
    assert Continuation(following=None, reason="no_further_model") == say(rejected(weighed))


def test_an_attempt_that_is_not_worth_its_price_is_not_made(say: Say) -> None:
    """At the plan's own objective, which stands in place of the operator's; a cut answer is followed all the same."""
    cheap = Objective(worth_seconds=0.1, congestion_weight=1.0, seconds_per_usd=0.0)
    plan = replace(PLAN, objective=cheap)

    assert Continuation(following=None, reason="not_worth_it") == say(rejected(plan))
    assert "was_cut" == say(rejected(plan, reason=CUT)).reason


def test_an_attempt_that_would_come_too_late_is_not_made(say: Say) -> None:
    """The deadline counts from the request's start."""
    assert Continuation(following=None, reason="deadline") == say(
        rejected(replace(PLAN, deadline_seconds=1.5))
    )
    assert say(rejected(replace(PLAN, deadline_seconds=60.0))).goes_on


def test_with_little_time_left_a_quicker_model_comes_first(say: Say) -> None:
    """What would come too late is left out before the rest is ordered."""
    crowded = {"b:1": 9, "b:2": 9}
    in_time = say(rejected(replace(PLAN, deadline_seconds=60.0)), busy={"c:1": 9})
    assert (1, "b:1") == where(in_time)
    assert (2, "c:1") == where(say(rejected(replace(PLAN, deadline_seconds=5.0)), busy=crowded))


def test_several_answers_at_once_cost_more_and_are_not_cut(say: Say, estimators: Estimators) -> None:
    """Each takes a slot; a limit is learned from single ones."""
    teach_long_answers_to_be_wrong(estimators)
    several = replace(PLAN, choices=3, output_limit_tokens=None)
    single = replace(PLAN, output_limit_tokens=None)
    cut, whole = say(rejected(single)), say(rejected(several))

    assert cut.following is not None
    assert cut.following.attempt.max_tokens is not None
    assert whole.following is not None
    assert whole.following.attempt.max_tokens is None
    assert whole.load is not None
    assert whole.load.own_sequences == 3


def test_an_answer_is_cut_where_that_is_worth_it_by_then(say: Say, estimators: Estimators) -> None:
    """Of a model whose long answers are always wrong, while another attempt may follow; the last one is never cut."""
    teach_long_answers_to_be_wrong(estimators)
    first, last = say(rejected()), say(rejected(made=(0, 2)))

    assert first.following is not None
    assert first.following.position == 1
    assert first.following.attempt.max_tokens is not None
    assert 60 <= first.following.attempt.max_tokens < 1000
    assert last.following is not None
    assert last.following.attempt.max_tokens is None
