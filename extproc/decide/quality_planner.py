"""Plans by policies that weigh quality: candidates get their figures, a rule ranks them, and the ranking becomes a plan."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import numpy as np

from extproc.decide.eligible import Candidates
from extproc.decide.plan import Plan, TokenBudget
from extproc.decide.planner import PlanPolicy, plan_ranked
from extproc.decide.policies import ByForecast, Case
from extproc.decide.pools import PoolChoice, choose_pool
from extproc.decide.witness import Witness
from extproc.estimate.forecast import Forecaster
from extproc.estimate.latency_records import LoadAtDecision
from extproc.facts.request import RequestFacts
from extproc.facts.text import TextProfile
from extproc.fleet.snapshot import FleetSnapshot, Ints
from extproc.sessions.book import SessionHistory

MOST_LOADS = 200_000
"""Decisions whose load is remembered until their outcome comes; the oldest are forgotten first."""


@dataclass(frozen=True, slots=True)
class Met:
    """What a decision met: the load of its first instance, what its prompt looked like, and when it was made."""

    load: LoadAtDecision
    text: TextProfile
    at: float


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
    """Plans requests, and remembers the load they met and what they looked like until their outcome is known."""

    def __init__(self, forecaster: Forecaster) -> None:
        self._forecaster = forecaster
        self._met: OrderedDict[str, Met] = OrderedDict()

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
        elapsed = max(0.0, moment.now - history.started_at) if history else 0.0
        deadline = facts.deadline_seconds or policy.deadline_seconds
        left = max(0.001, deadline - elapsed) if deadline is not None else None
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
            deadline_seconds=left,
            # A chance that ignores the failures is too high: to learn against it would run down whoever is asked last.
            tells_chances=rule.is_conditional or not predictions.failed,
            started_unix_ms=moment.unix_ms - round(elapsed * 1000),
        )
        met = Met(predictions.latency.load(ranking.positions[0]), facts.text, moment.now)
        self._remember(moment.decision_id, met)
        return plan

    def forget(self, decision_id: str) -> Met | None:
        """Hand out what a decision met, once."""
        return self._met.pop(decision_id, None)

    def text_of(self, decision_id: str) -> TextProfile | None:
        """What the prompt of a decision under way looks like; None when it was decided elsewhere."""
        met = self._met.get(decision_id)
        return met.text if met else None

    def _remember(self, decision_id: str, met: Met) -> None:
        self._met[decision_id] = met
        if len(self._met) > MOST_LOADS:
            self._met.popitem(last=False)


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
