from __future__ import annotations

from extproc.decide.attempts import AttemptContext, CarriedAttempt, CarriedPlan

PLAN = CarriedPlan(attempts=tuple(CarriedAttempt(address=f"a:{n}") for n in range(3)), max_retries=2)


def test_an_attempt_is_found_by_its_address() -> None:
    """A host that the plan does not hold has no place."""
    assert (1, None) == (PLAN.position_of("a:1"), PLAN.position_of("b:1"))


def test_what_failed_and_what_would_follow() -> None:
    """Everything up to the rejected attempt, and the one after it."""
    context = AttemptContext(
        decision_id="d", plan=PLAN, position=1, number=2, reason="r", elapsed_seconds=1.0
    )

    assert ["a:0", "a:1"] == [attempt.address for attempt in context.failed]
    assert "a:2" == context.next_attempt.address
