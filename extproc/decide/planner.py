"""From candidates and estimates to a plan: which instances, in which order, with how many retries."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from extproc.decide.eligible import Candidates
from extproc.decide.figures import Figures
from extproc.decide.first_correct import DEFAULT_OBJECTIVE, SOFT_PENALTY, Objective, Ranking, price_seconds
from extproc.decide.hedge import Patience, worthwhile_patience
from extproc.decide.order import Policy, order
from extproc.decide.plan import Attempt, Plan, TokenBudget
from extproc.decide.policies import key_of
from extproc.decide.pools import PoolChoice, choose_pool
from extproc.decide.route_balance import QualityNorm
from extproc.decide.stand_ins import (
    is_alone,
    is_one_model,
    of_other_models,
    order_of_one_model,
    overflow_addresses,
    roomy_tokens,
    with_roomier,
    with_second,
)
from extproc.decide.weights import NO_OVERRIDES, PRESETS, Overrides, Preset, Weights
from extproc.decide.witness import Witness
from extproc.estimate.predictions import Predictions
from extproc.estimate.work import predicted_work_seconds
from extproc.facts.request import Api, RequestFacts
from extproc.fleet.snapshot import FleetSnapshot, Floats, Ints


class Verification(StrEnum):
    """Which plain answers are verified before the client gets them."""

    OFF = "off"
    ASKED = "asked"
    ALWAYS = "always"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanPolicy:
    """What the operator decides about plans.

    Attributes:
        policy: How instances are preferred.
        max_attempts: Most upstream tries of one request, at least 1.
        request_timeout_seconds: For the whole request, retries included.
        per_try_timeout_seconds: For one try; None when only the whole is bounded.
        union_cluster: Envoy cluster that holds every instance.
        objective: What `first_correct` weighs.
        deadline_seconds: When answers stop being useful, for requests that do not say so; None for never.
        verification: Which plain answers are verified.
        is_judged: True when an external judge has a word, for which an answer may be held back for long.
        laar_penalty: Factor of `laar` on a model that has failed; infinite excludes it.
        weights: Weights of `route_balance`.
        quality_norm: How quality enters the score of `route_balance`.
        overrides: How far clients may weigh otherwise.
    """

    policy: Policy
    max_attempts: int
    request_timeout_seconds: float
    per_try_timeout_seconds: float | None
    union_cluster: str
    objective: Objective = DEFAULT_OBJECTIVE
    deadline_seconds: float | None = None
    laar_penalty: float = SOFT_PENALTY
    weights: Weights = PRESETS[Preset.BALANCED]
    quality_norm: QualityNorm = QualityNorm.RAW
    overrides: Overrides = NO_OVERRIDES
    verification: Verification = Verification.OFF
    is_judged: bool = False

    def verifies(self, facts: RequestFacts) -> bool:
        """True when the answer to a request is verified before the client gets it."""
        if facts.stream or facts.model is None or facts.api is Api.EMBEDDINGS:
            return False
        if self.verification is Verification.ASKED:
            return facts.has_contract or bool(facts.expectation)
        return self.verification is Verification.ALWAYS


def plan_request(
    facts: RequestFacts,
    budget: TokenBudget,
    candidates: Candidates,
    *,
    snapshot: FleetSnapshot,
    policy: PlanPolicy,
    rng: np.random.Generator,
    decision_id: str,
    decided_unix_ms: int = 0,
    elapsed_seconds: float = 0.0,
    witness: Witness | None = None,
) -> Plan:
    """Plan a request whose token budget is known, for one model: nobody looks at chances.

    Raises:
        BadRequestError: The budget exceeds every candidate's limit.
    """
    table = snapshot.table
    pool = choose_pool(budget, candidates.rows, snapshot)
    work = predicted_work_seconds(
        snapshot,
        table.rows,
        prompt_tokens=budget.prompt_tokens,
        output_tokens=budget.output_tokens,
        sequences=facts.choices,
    )
    if witness is not None:
        witness.budget, witness.pool, witness.work_seconds = budget, pool, work
    ranked = _ranked(pool.rows, work, snapshot, policy, rng)
    # Tries of one model go out as they are, in Envoy's plain cluster.
    model = table.model_index[ranked[0]]
    rows = ranked[table.model_index[ranked] == model][: policy.max_attempts].tolist()
    roomy = roomy_tokens(budget)
    if is_alone(rows, snapshot) or roomy > table.clusters[rows[0]].max_model_len:
        others = pool.others[table.model_index[pool.others] == model]
        rows = order_of_one_model(
            rows, _ranked(others, work, snapshot, policy, rng).tolist(), roomy, snapshot
        )
    if candidates.rewrites_model and is_alone(rows, snapshot):
        everybody = np.concatenate((pool.rows, pool.others))
        rows = [rows[0], *of_other_models(rows[0], _ranked(everybody, work, snapshot, policy, rng), snapshot)]
    return _plan(
        decision_id=decision_id,
        rows=rows[: policy.max_attempts],
        work=work,
        snapshot=snapshot,
        policy=policy,
        is_verified=policy.verifies(facts),
        model=table.models[model] if candidates.rewrites_model else None,
        pool=table.fleet.pools[pool.index].name,
        budget=budget,
        candidates=len(candidates.rows),
        reason=_reason(pool, policy, rows[0], snapshot),
        deadline_seconds=facts.deadline_seconds or policy.deadline_seconds,
        decided_unix_ms=decided_unix_ms,
        elapsed_seconds=elapsed_seconds,
    )


def plan_ranked(
    facts: RequestFacts,
    budget: TokenBudget,
    pool: PoolChoice,
    ranking: Ranking,
    *,
    predictions: Predictions,
    candidates: Candidates,
    snapshot: FleetSnapshot,
    policy: PlanPolicy,
    decision_id: str,
    is_verified: bool,
    deadline_seconds: float | None,
    tells_chances: bool = True,
    decided_unix_ms: int = 0,
    elapsed_seconds: float = 0.0,
) -> Plan:
    """Make a plan of a ranking whose figures are known.

    Only tries that are tailored to their hosts can change models on the way: those of a verified plan, and of one whose model
    has no second instance. `tells_chances` is False when nobody may learn against the chances.
    """
    table = snapshot.table
    rows: list[int] = predictions.rows[list(ranking.positions)].tolist()
    if not is_verified:
        rows = _of_first_model(rows, predictions, pool, budget, snapshot)
        if candidates.rewrites_model and is_alone(rows, snapshot):
            rows = [rows[0], *_by_utility(rows[0], predictions, snapshot, policy.objective)]
    elif (roomy := roomy_tokens(budget)) > table.clusters[rows[0]].max_model_len:
        rows = with_roomier(rows, pool, roomy, snapshot)
    elif ranking.second_instance is not None:
        rows = with_second(rows, int(predictions.rows[ranking.second_instance]))
    # Another instance of the first model, in case that one fails, takes no other model's place.
    has_stand_in = is_verified and len(ranking.steps) > 1 and is_one_model(rows[0], rows[1], snapshot)
    rows = rows[: max(policy.max_attempts, len(ranking.steps) + has_stand_in)]
    # Chances that hang on what a session's failures said cannot be worked out again from the abilities alone.
    wants_abilities = is_verified and not predictions.failed
    figures = Figures.of(predictions, ranking, rows, wants_abilities=wants_abilities)
    attempts = tuple(figures.attempt(row, table, tells_chance=tells_chances) for row in rows)
    route_cluster = policy.union_cluster if is_verified else _route_cluster(attempts, policy)
    patience = _patience(
        rows,
        figures,
        facts,
        snapshot=snapshot,
        policy=policy,
        deadline_seconds=deadline_seconds,
        # Envoy 1.40 crashes when a race's answer is dropped behind an upstream filter; see docs/adr/0017.
        can_race=route_cluster != policy.union_cluster,
    )
    return Plan(
        decision_id=decision_id,
        attempts=attempts,
        route_cluster=route_cluster,
        max_retries=min(len(attempts), policy.max_attempts) - 1,
        timeout_seconds=min(policy.request_timeout_seconds, deadline_seconds or math.inf),
        per_try_timeout_seconds=patience.seconds if patience else policy.per_try_timeout_seconds,
        model=attempts[0].model if candidates.rewrites_model else None,
        pool=table.fleet.pools[int(table.pool_index[rows[0]])].name,
        budget=budget,
        candidates=len(candidates.rows),
        reason=_reason(pool, policy, rows[0], snapshot),
        overflow_addresses=overflow_addresses(rows, budget, snapshot),
        is_verified=is_verified,
        hedges=patience is not None and patience.hedges,
        ability=predictions.ability,
        decided_unix_ms=decided_unix_ms,
        elapsed_seconds=elapsed_seconds,
    )


def _of_first_model(
    rows: list[int], predictions: Predictions, pool: PoolChoice, budget: TokenBudget, snapshot: FleetSnapshot
) -> list[int]:
    """Those of ranked rows that serve the first one's model, with rows of other pools that nobody ranked behind."""
    model_index = snapshot.table.model_index
    model = model_index[rows[0]]
    others = pool.others[model_index[pool.others] == model]
    others = others[~np.isin(others, predictions.rows)] if len(others) else others
    return order_of_one_model(
        [row for row in rows if model_index[row] == model], others.tolist(), roomy_tokens(budget), snapshot
    )


def _by_utility(
    first: int, predictions: Predictions, snapshot: FleetSnapshot, objective: Objective
) -> list[int]:
    """The best instance of each other model, the largest utility of one attempt first."""
    chance = (predictions.chances @ predictions.weights)[predictions.model]
    utility = objective.worth_seconds * chance - price_seconds(predictions, snapshot, objective)
    return of_other_models(first, predictions.rows[np.argsort(-utility, kind="stable")], snapshot)


def _patience(
    rows: list[int],
    figures: Figures,
    facts: RequestFacts,
    *,
    snapshot: FleetSnapshot,
    policy: PlanPolicy,
    deadline_seconds: float | None,
    can_race: bool,
) -> Patience | None:
    """Say how long tries are waited for; None for the operator's word.

    The first byte of a stream says little, and a try that is late may be done and with the judge: both are waited for.
    """
    if policy.per_try_timeout_seconds is not None or deadline_seconds is None or facts.stream:
        return None
    if policy.is_judged and not can_race:
        return None
    runners = [figures.runner(row, policy.objective) for row in rows]
    known = [runner for runner in runners if runner is not None]
    if len(known) < len(rows) or len(rows) < 2 or snapshot.suspect[rows[1]]:
        return None
    return worthwhile_patience(
        known,
        deadline_seconds=deadline_seconds,
        worth_seconds=policy.objective.worth_seconds,
        can_race=can_race,
    )


def plan_passthrough(
    facts: RequestFacts,
    candidates: Candidates,
    *,
    snapshot: FleetSnapshot,
    policy: PlanPolicy,
    rng: np.random.Generator,
    decision_id: str,
) -> Plan:
    """Plan a request that is not understood: any instance may serve it, the least busy first."""
    work = predicted_work_seconds(
        snapshot, snapshot.table.rows, prompt_tokens=0, output_tokens=1, sequences=1
    )
    return _plan(
        decision_id=decision_id,
        rows=_ranked(candidates.rows, work, snapshot, policy, rng)[: policy.max_attempts].tolist(),
        work=work,
        snapshot=snapshot,
        policy=policy,
        model=None,
        pool="",
        budget=None,
        candidates=len(candidates.rows),
        reason=f"passthrough:{facts.api.value}",
    )


def _ranked(
    rows: Ints, work: Floats, snapshot: FleetSnapshot, policy: PlanPolicy, rng: np.random.Generator
) -> Ints:
    """Sort rows best first; `work` is by row of the fleet."""
    ranked: Ints = rows[order(key_of(policy.policy), rows, work[rows], snapshot, rng)]
    return ranked


def _plan(
    *,
    decision_id: str,
    rows: list[int],
    work: Floats,
    snapshot: FleetSnapshot,
    policy: PlanPolicy,
    model: str | None,
    pool: str,
    budget: TokenBudget | None,
    candidates: int,
    reason: str,
    is_verified: bool = False,
    deadline_seconds: float | None = None,
    decided_unix_ms: int = 0,
    elapsed_seconds: float = 0.0,
) -> Plan:
    table = snapshot.table
    attempts = tuple(
        Attempt(
            address=table.addresses[row],
            cluster=table.clusters[row].name,
            model=table.clusters[row].model,
            work_seconds=float(work[row]),
        )
        for row in rows
    )
    return Plan(
        decision_id=decision_id,
        attempts=attempts,
        route_cluster=policy.union_cluster if is_verified else _route_cluster(attempts, policy),
        is_verified=is_verified,
        max_retries=min(len(attempts), policy.max_attempts) - 1,
        timeout_seconds=min(policy.request_timeout_seconds, deadline_seconds or math.inf),
        per_try_timeout_seconds=policy.per_try_timeout_seconds,
        model=model,
        pool=pool,
        budget=budget,
        candidates=candidates,
        reason=reason,
        overflow_addresses=overflow_addresses(rows, budget, snapshot),
        decided_unix_ms=decided_unix_ms,
        elapsed_seconds=elapsed_seconds,
    )


def _route_cluster(attempts: tuple[Attempt, ...], policy: PlanPolicy) -> str:
    """The attempts' cluster when they share one, else the union."""
    first = attempts[0].cluster
    return first if all(attempt.cluster == first for attempt in attempts) else policy.union_cluster


def _reason(pool: PoolChoice, policy: PlanPolicy, first: int, snapshot: FleetSnapshot) -> str:
    """Why the first attempt's pool: the choice of a pool, or that of a model that the pool lacks."""
    is_of_pool = int(snapshot.table.pool_index[first]) == pool.index
    return f"{pool.reason if is_of_pool else 'model'}:{policy.policy.value}"
