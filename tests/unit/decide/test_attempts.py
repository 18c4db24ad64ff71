from __future__ import annotations

import math
from dataclasses import replace

import pytest

from extproc.decide.attempts import AttemptContext, CarriedAttempt, CarriedPlan, Continuation, Following
from extproc.estimate.quality.coupling import Ability

PLAN = CarriedPlan(attempts=tuple(CarriedAttempt(address=f"a:{n}") for n in range(3)), max_retries=2)


def test_an_attempt_is_found_by_its_address() -> None:
    """A host that the plan does not hold has no place."""
    assert (1, None) == (PLAN.position_of("a:1"), PLAN.position_of("b:1"))


def test_a_host_without_a_chance_stands_in_for_its_model() -> None:
    """Where chances were looked at: else each host makes an attempt of its own."""
    chances = (0.5, None, 0.4, None, None)
    hosts = tuple(
        CarriedAttempt(address=f"a:{n}", model=model, chance=chance)
        for n, (model, chance) in enumerate(zip("xxyyz", chances, strict=True))
    )
    plan = CarriedPlan(attempts=hosts)
    unweighed = CarriedPlan(attempts=tuple(replace(host, chance=None) for host in hosts))

    assert [0, 0, 2, 2, 4] == [plan.attempt_at(host) for host in range(5)]
    assert ((2, 4), (0, 2)) == (plan.remaining((0,)), plan.before(4))
    assert list(range(5)) == [unweighed.attempt_at(host) for host in range(5)]


def test_a_planned_chance_holds_whoever_stood_in() -> None:
    """It follows rejections of the attempts before it, not of hosts."""
    hosts = (
        CarriedAttempt(address="a:0", model="x", chance=0.5),
        CarriedAttempt(address="a:1", model="x"),
        CarriedAttempt(address="a:2", model="y", chance=0.4),
    )

    assert 0.4 == CarriedPlan(attempts=hosts).attempt_after(2, (0,)).chance
    assert None is CarriedPlan(attempts=hosts).attempt_after(2, ()).chance


def test_what_failed_and_what_would_follow() -> None:
    """The attempts that are over in their own order, the rejected one last, and the first of the others as planned."""
    context = AttemptContext(
        decision_id="d", plan=PLAN, made=(2, 0), rejected=(2, 0), number=2, reason="r", elapsed_seconds=1.0
    )

    assert ["a:2", "a:0"] == [attempt.address for attempt in context.failed]
    assert (1,) == context.remaining
    assert "a:1" == context.next_attempt.address


def test_an_attempt_without_answer_can_be_made_again() -> None:
    """Unless it may have had no room for the prompt; its model was not found wrong."""
    first, second, third = PLAN.attempts
    plan = replace(PLAN, attempts=(first, replace(second, retries_overflow=True), third))
    context = AttemptContext(
        decision_id="d", plan=plan, made=(0, 1, 2), rejected=(2,), number=3, reason="r", elapsed_seconds=1.0
    )

    assert (0,) == context.unanswered
    assert (third,) == context.failed


ABLE = CarriedPlan(
    attempts=tuple(
        CarriedAttempt(address=f"a:{n}", model=f"m{n}", chance=chance, ability=Ability(0.5, 1.5))
        for n, chance in enumerate((0.6, 0.4, 0.3))
    ),
    max_retries=2,
)


def test_a_chance_hangs_on_what_was_rejected() -> None:
    """As planned after all attempts before; higher the fewer of them were wrong; unknown without abilities."""
    third = ABLE.attempts[2]
    alone, after_one = ABLE.attempt_after(2, ()), ABLE.attempt_after(2, (1,))

    assert third == ABLE.attempt_after(2, (0, 1))
    assert third == ABLE.attempt_after(2, (1, 0))
    assert alone.chance is not None
    assert after_one.chance is not None
    assert pytest.approx(1 / (1 + math.exp(-0.5 / math.hypot(1, 0.6 * 1.5))), abs=0.03) == alone.chance
    assert alone.chance > after_one.chance

    unknown = replace(ABLE, attempts=(*ABLE.attempts[:2], replace(third, ability=None)))
    assert unknown.attempt_after(2, (1,)).chance is None
    assert 0.3 == unknown.attempt_after(2, (0, 1)).chance
    assert PLAN.attempts[2] == PLAN.attempt_after(2, ())

    # An attempt without chance, on a larger instance, is as able as the others of its model.
    larger = replace(ABLE.attempts[1], model="a", chance=None, ability=None)
    of_one_model = replace(ABLE, attempts=(replace(ABLE.attempts[0], model="a"), larger, third))
    assert after_one == of_one_model.attempt_after(2, (1,))


def test_a_plan_that_goes_on_as_planned() -> None:
    """The next attempt is made where it was planned."""
    context = AttemptContext(
        decision_id="d", plan=PLAN, made=(0,), rejected=(0,), number=1, reason="r", elapsed_seconds=1.0
    )
    continuation = Continuation.as_planned(context, "planned")

    assert continuation.goes_on
    assert Following(attempt=PLAN.attempts[1], position=1) == continuation.following
    assert not Continuation(following=None, reason="deadline").goes_on
