from __future__ import annotations

from extproc.decide.attempts import AttemptContext, CarriedAttempt, CarriedPlan, Continuation, Following

PLAN = CarriedPlan(attempts=tuple(CarriedAttempt(address=f"a:{n}") for n in range(3)), max_retries=2)


def test_an_attempt_is_found_by_its_address() -> None:
    """A host that the plan does not hold has no place."""
    assert (1, None) == (PLAN.position_of("a:1"), PLAN.position_of("b:1"))


def test_what_failed_and_what_would_follow() -> None:
    """The attempts that are over in their own order, the rejected one last, and the first of the others as planned."""
    context = AttemptContext(
        decision_id="d", plan=PLAN, made=(2, 0), number=2, reason="r", elapsed_seconds=1.0
    )

    assert ["a:2", "a:0"] == [attempt.address for attempt in context.failed]
    assert (1,) == context.remaining
    assert "a:1" == context.next_attempt.address


def test_a_plan_that_goes_on_as_planned() -> None:
    """The next attempt is made where it was planned."""
    context = AttemptContext(decision_id="d", plan=PLAN, made=(0,), number=1, reason="r", elapsed_seconds=1.0)
    continuation = Continuation.as_planned(context, "planned")

    assert continuation.goes_on
    assert Following(attempt=PLAN.attempts[1], position=1) == continuation.following
    assert not Continuation(following=None, reason="deadline").goes_on
