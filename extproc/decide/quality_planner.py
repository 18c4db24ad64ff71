"""Plans by policies that weigh quality: candidates get their figures, a rule ranks them, and the ranking becomes a plan."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from extproc.decide.eligible import Candidates
from extproc.decide.encounters import Encounters, Met
from extproc.decide.plan import Plan, TokenBudget
from extproc.decide.planner import PlanPolicy, plan_ranked
from extproc.decide.policies import ByForecast, Case
from extproc.decide.pools import PoolChoice, choose_pool
from extproc.decide.witness import Witness
from extproc.estimate.forecast import Forecaster
from extproc.facts.request import RequestFacts
from extproc.fleet.snapshot import FleetSnapshot, Ints
from extproc.sessions.book import SessionHistory


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """A decision's name and time.

    Attributes:
        decision_id: Unique name.
        now: Seconds of a monotonic clock.
        unix_ms: The same moment in milliseconds since the epoch; 0 when nobody is to be told.
    """

    decision_id: str
    now: float
    unix_ms: int


class QualityPlanner:
    """Plans requests.

    Args:
        forecaster: Makes the figures.
        encounters: Remembers what each plan's first try meets.
    """

    def __init__(self, forecaster: Forecaster, encounters: Encounters) -> None:
        self._forecaster = forecaster
        self._encounters = encounters

    def plan(
        self,
        facts: RequestFacts,
        budget: TokenBudget,
        candidates: Candidates,
        *,
        snapshot: FleetSnapshot,
        policy: PlanPolicy,
        rule: ByForecast,
        history: SessionHistory | None,
        moment: Moment,
        witness: Witness | None = None,
    ) -> Plan:
        """Plan a request whose token budget is known.

        Raises:
            BadRequestError: The budget exceeds every candidate's limit.
        """
        pool = choose_pool(budget, candidates.rows, snapshot)
        rows = _without_repeats(_rows(pool, snapshot), facts, history, snapshot)
        predictions = self._forecaster.forecast(
            facts,
            rows,
            snapshot,
            prompt_tokens=budget.prompt_tokens,
            history=history,
            is_conditional=rule.is_conditional,
        )
        is_verified = policy.verifies(facts)
        case = Case(
            predictions=predictions,
            snapshot=snapshot,
            history=history,
            horizon=policy.max_attempts if is_verified or facts.session else 1,
            objective=policy.objective,
            weights=policy.weights,
            quality_norm=policy.quality_norm,
            laar_penalty=policy.laar_penalty,
            may_cut=is_verified and facts.choices == 1,
        )
        ranking = rule.rank(case)
        if witness is not None:
            witness.budget, witness.pool, witness.case, witness.ranking = budget, pool, case, ranking
        plan = plan_ranked(
            facts,
            budget,
            pool,
            ranking,
            predictions=predictions,
            candidates=candidates,
            snapshot=snapshot,
            policy=policy,
            decision_id=moment.decision_id,
            is_verified=is_verified,
            deadline_seconds=facts.deadline_seconds or policy.deadline_seconds,
            # A chance that ignores the failures is too high: to learn against it would run down whoever is asked last.
            tells_chances=rule.is_conditional or not predictions.failed,
            decided_unix_ms=moment.unix_ms,
            # A session is one question: what it took before counts as its time, and not against this request's deadline.
            elapsed_seconds=max(0.0, moment.now - history.started_at) if history else 0.0,
        )
        load = predictions.latency.load(ranking.positions[0])
        self._encounters.enter(
            moment.decision_id,
            Met(address=plan.attempts[0].address, text=facts.text, load=load, at=moment.now),
        )
        return plan


def _rows(pool: PoolChoice, snapshot: FleetSnapshot) -> Ints:
    """The pool's candidates, and those of other pools whose model the pool lacks, or has on suspect instances alone."""
    if not len(pool.others):
        return pool.rows
    table = snapshot.table
    is_missing = table.rows_per_model(pool.rows[~snapshot.suspect[pool.rows]]) == 0
    missing = pool.others[is_missing[table.model_index[pool.others]]]
    return np.concatenate((pool.rows, missing)) if len(missing) else pool.rows


def _without_repeats(
    rows: Ints, facts: RequestFacts, history: SessionHistory | None, snapshot: FleetSnapshot
) -> Ints:
    """Leave out models that would repeat their wrong answer, unless nobody else is left."""
    if history is None or not facts.is_deterministic or not history.failed_models:
        return rows
    table = snapshot.table
    is_fresh = np.array([name not in history.failed_models for name in table.models])
    fresh = rows[is_fresh[table.model_index[rows]]]
    return fresh if len(fresh) else rows
