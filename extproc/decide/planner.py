"""From candidates and estimates to a plan: which instances, in which order, with how many retries."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from extproc.decide.eligible import Candidates
from extproc.decide.order import Policy, order
from extproc.decide.plan import Attempt, Plan, TokenBudget
from extproc.decide.pools import PoolChoice, choose_pool
from extproc.estimate.work import predicted_work_seconds
from extproc.facts.request import RequestFacts
from extproc.fleet.snapshot import FleetSnapshot, Ints

OVERFLOW_FACTOR = 2.0
"""A prompt this many times its conservative estimate must still fit, else the plan provides for an overflow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanPolicy:
    """What the operator decides about plans.

    Attributes:
        policy: How instances are preferred.
        max_attempts: Most upstream tries of one request, at least 1.
        request_timeout_seconds: For the whole request, retries included.
        per_try_timeout_seconds: For one try; None when only the whole is bounded.
        union_cluster: Envoy cluster that holds every instance.
    """

    policy: Policy
    max_attempts: int
    request_timeout_seconds: float
    per_try_timeout_seconds: float | None
    union_cluster: str


def plan_request(
    facts: RequestFacts,
    budget: TokenBudget,
    candidates: Candidates,
    snapshot: FleetSnapshot,
    policy: PlanPolicy,
    rng: np.random.Generator,
    decision_id: str,
) -> Plan:
    """Plan a request whose token budget is known.

    Raises:
        BadRequestError: The budget exceeds every candidate's limit.
    """
    pool = choose_pool(budget, candidates.rows, snapshot)
    ranked, work = _rank(facts, budget, pool.rows, snapshot, policy, rng)
    first = ranked[0]
    same_model = snapshot.table.model_index[pool.others] == snapshot.table.model_index[first]
    elsewhere, elsewhere_work = _rank(facts, budget, pool.others[same_model], snapshot, policy, rng)
    work |= elsewhere_work
    in_pool = [row for row in ranked if snapshot.table.model_index[row] == snapshot.table.model_index[first]]
    sequence = _sequence(in_pool, elsewhere, budget, snapshot)[: policy.max_attempts]
    return _plan(
        decision_id=decision_id,
        rows=sequence,
        work=work,
        snapshot=snapshot,
        policy=policy,
        model=snapshot.table.clusters[first].model if candidates.rewrites_model else None,
        pool=snapshot.table.fleet.pools[pool.index].name,
        budget=budget,
        candidates=len(candidates.rows),
        reason=_reason(pool, policy),
    )


def plan_passthrough(
    facts: RequestFacts,
    candidates: Candidates,
    snapshot: FleetSnapshot,
    policy: PlanPolicy,
    rng: np.random.Generator,
    decision_id: str,
) -> Plan:
    """Plan a request that is not understood: any instance may serve it, the least busy first."""
    work = predicted_work_seconds(snapshot, candidates.rows, prompt_tokens=0, output_tokens=1, sequences=1)
    positions = order(policy.policy, candidates.rows, work, snapshot, rng)[: policy.max_attempts]
    return _plan(
        decision_id=decision_id,
        rows=[int(candidates.rows[p]) for p in positions],
        work={int(candidates.rows[p]): float(work[p]) for p in positions},
        snapshot=snapshot,
        policy=policy,
        model=None,
        pool="",
        budget=None,
        candidates=len(candidates.rows),
        reason=f"passthrough:{facts.api.value}",
    )


def _rank(
    facts: RequestFacts,
    budget: TokenBudget,
    rows: Ints,
    snapshot: FleetSnapshot,
    policy: PlanPolicy,
    rng: np.random.Generator,
) -> tuple[list[int], dict[int, float]]:
    if not len(rows):
        return [], {}
    work = predicted_work_seconds(
        snapshot,
        rows,
        prompt_tokens=budget.prompt_tokens,
        output_tokens=budget.output_tokens,
        sequences=facts.choices,
    )
    positions = order(policy.policy, rows, work, snapshot, rng)
    return [int(rows[p]) for p in positions], {
        int(row): float(seconds) for row, seconds in zip(rows, work, strict=True)
    }


def _sequence(
    in_pool: list[int], elsewhere: list[int], budget: TokenBudget, snapshot: FleetSnapshot
) -> list[int]:
    """Order the tries of one model, leaving the pool only for a reason.

    1. The first instance could turn out too small: the best roomier one of another pool comes second.
    2. The pool has a second instance to fail over to: the plan stays in the pool, on Envoy's plain path.
    3. It has none: other pools stand in.
    """
    limits = snapshot.table.max_model_len
    larger = [row for row in elsewhere if limits[row] > limits[in_pool[0]]]
    if larger and _may_overflow(budget, int(limits[in_pool[0]])):
        return [in_pool[0], larger[0], *in_pool[1:]]
    if len(in_pool) > 1:
        return in_pool
    return in_pool + elsewhere


def _may_overflow(budget: TokenBudget, limit: int) -> bool:
    given = budget.output_tokens if budget.output_is_given else 0
    return OVERFLOW_FACTOR * budget.longest_prompt_tokens_upper + given > limit


def _plan(
    *,
    decision_id: str,
    rows: list[int],
    work: dict[int, float],
    snapshot: FleetSnapshot,
    policy: PlanPolicy,
    model: str | None,
    pool: str,
    budget: TokenBudget | None,
    candidates: int,
    reason: str,
) -> Plan:
    table = snapshot.table
    attempts = tuple(
        Attempt(
            address=table.addresses[row],
            cluster=table.clusters[row].name,
            model=table.clusters[row].model,
            work_seconds=work[row],
        )
        for row in rows
    )
    clusters = {attempt.cluster for attempt in attempts}
    return Plan(
        decision_id=decision_id,
        attempts=attempts,
        route_cluster=attempts[0].cluster if len(clusters) == 1 else policy.union_cluster,
        max_retries=len(attempts) - 1,
        timeout_seconds=policy.request_timeout_seconds,
        per_try_timeout_seconds=policy.per_try_timeout_seconds,
        model=model,
        pool=pool,
        budget=budget,
        candidates=candidates,
        reason=reason,
        overflow_addresses=_overflow_addresses(rows, budget, snapshot),
    )


def _overflow_addresses(
    rows: list[int], budget: TokenBudget | None, snapshot: FleetSnapshot
) -> tuple[str, ...]:
    """Instances of the plan that may turn out too small and have a larger one later in the plan."""
    if budget is None:
        return ()
    table = snapshot.table
    return tuple(
        table.addresses[row]
        for position, row in enumerate(rows)
        if _may_overflow(budget, int(table.max_model_len[row]))
        and any(table.max_model_len[later] > table.max_model_len[row] for later in rows[position + 1 :])
    )


def _reason(pool: PoolChoice, policy: PlanPolicy) -> str:
    return f"{pool.reason}:{policy.policy.value}"
