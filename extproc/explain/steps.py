"""The plan, attempt by attempt: when each is made, how likely that is, and what the whole promises."""

from __future__ import annotations

from collections.abc import Iterable

from extproc.decide.plan import Attempt, Plan
from extproc.explain.records import AttemptView, Interval, PlanView
from extproc.explain.world import Decided


def plan_view(decided: Decided) -> PlanView | None:
    """Describe the plan; None when the request was refused."""
    plan = decided.plan
    if plan is None:
        return None
    worth = _worth_by_address(decided)
    made = _made_for_wrong_answers(plan, worth)
    reached = _reached(made)
    is_priced = all(attempt.latency_seconds is not None and attempt.cost_usd is not None for attempt in made)
    return PlanView(
        attempts=tuple(
            AttemptView(
                address=attempt.address,
                model=attempt.model,
                when=_when(plan, number, attempt),
                max_tokens=attempt.max_tokens,
                chance=attempt.chance,
                reached=reached[made.index(attempt)] if attempt in made else None,
                is_worth_it=worth.get(attempt.address),
                latency_seconds=_latency(attempt),
                usd=attempt.cost_usd,
            )
            for number, attempt in enumerate(plan.attempts)
        ),
        max_retries=plan.max_retries,
        timeout_seconds=plan.timeout_seconds,
        per_try_timeout_seconds=plan.per_try_timeout_seconds,
        hedges=plan.hedges,
        cluster=plan.route_cluster,
        is_verified=plan.is_verified,
        reason=plan.reason,
        wish=plan.wish,
        chance=1.0 - reached[-1] if made else None,
        expected_seconds=_mean((attempt.latency_seconds for attempt in made), reached)
        if made and is_priced
        else None,
        expected_usd=_mean((attempt.cost_usd for attempt in made), reached) if made and is_priced else None,
    )


def _made_for_wrong_answers(plan: Plan, worth: dict[str, bool]) -> list[Attempt]:
    """The first attempt and, in a verified plan, those that follow it while they are worth it; none without chances.

    Not those without a chance of their own: they stand in for an instance that fails.
    """
    made: list[Attempt] = []
    for attempt in plan.attempts:
        if attempt.chance is None:
            continue
        if worth.get(attempt.address) is False:
            break
        made.append(attempt)
        if not plan.is_verified:
            break
    return made


def _reached(made: list[Attempt]) -> list[float]:
    """Chance that each attempt is made, and last the chance that all of them fail."""
    chances = [1.0]
    for attempt in made:
        chances.append(chances[-1] * (1.0 - (attempt.chance or 0.0)))
    return chances


def _mean(values: Iterable[float | None], reached: list[float]) -> float:
    return sum((value or 0.0) * chance for value, chance in zip(values, reached, strict=False))


def _when(plan: Plan, number: int, attempt: Attempt) -> str:
    if number == 0:
        return "at once"
    if plan.attempts[number - 1].address in plan.overflow_addresses:
        return "after a failure, or when the prompt turns out too long"
    if plan.is_verified and attempt.chance is not None:
        return "after a wrong answer while it is worth it, or a failure"
    return "after a failure"


def _latency(attempt: Attempt) -> Interval | None:
    if attempt.latency_seconds is None:
        return None
    upper = attempt.latency_upper_seconds
    return Interval(
        expected=attempt.latency_seconds, low=None, high=attempt.latency_seconds if upper is None else upper
    )


def _worth_by_address(decided: Decided) -> dict[str, bool]:
    """Whether each weighed attempt adds to the plan's worth; the first is made whether it does or not."""
    witness = decided.witness
    if witness.case is None or witness.ranking is None or len(witness.ranking.steps) < 2:
        return {}
    rows, table = witness.case.predictions.rows, witness.case.snapshot.table
    return {
        table.addresses[int(rows[position])]: step.is_worth_it
        for position, step in zip(witness.ranking.positions, witness.ranking.steps, strict=False)
    }
