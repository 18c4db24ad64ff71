"""From a decision that the router made to an explanation of it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from extproc.decide.order import Policy
from extproc.decide.policies import POLICIES, ByForecast
from extproc.explain.candidates import Weighed, candidate_views
from extproc.explain.changes import changes
from extproc.explain.records import Exclusion, Explanation
from extproc.explain.steps import plan_view
from extproc.explain.terms import RULES
from extproc.explain.world import Decided, World, decide
from extproc.facts.request import RequestFacts
from extproc.fleet.snapshot import FleetTable

MOST_CANDIDATES = 12
"""Candidates that are listed; the others are counted."""


def explain(world: World) -> Explanation:
    """Explain what becomes of a request.

    Raises:
        ValueError: What was learned does not fit the fleet or the model, or the load names an unknown instance.
    """
    decided = decide(world)
    policy = decided.policy.policy
    rule = POLICIES[policy]
    weighed = Weighed.of(decided)
    views = candidate_views(decided, weighed) if weighed is not None else ()
    refusal = decided.refusal
    return Explanation(
        about=world.asked.about,
        request=tuple(_request(decided)),
        policy=policy.value,
        rule=_rule(decided, is_forecast=isinstance(rule, ByForecast)),
        score=weighed.scores.name if weighed is not None and policy is not Policy.RANDOM else "",
        pool=_pool(decided),
        candidates=views[:MOST_CANDIDATES],
        left_out=max(0, len(views) - MOST_CANDIDATES),
        exclusions=tuple(_exclusions(decided)),
        plan=plan_view(decided),
        refusal=f"{refusal.http_status} {refusal.reason}: {refusal.message}" if refusal is not None else "",
        changes=changes(world, decided),
        knowledge=_knowledge(world),
    )


def _request(decided: Decided) -> Iterator[str]:
    facts, budget = decided.facts, decided.witness.budget
    if facts is None:
        return
    yield f"{facts.api.value} for {facts.model or 'whatever serves the path'}, {facts.body_bytes:,} bytes{_marks(facts)}"
    if facts.text.bytes_by_category:
        total = facts.text.total_bytes
        mix = ", ".join(f"{kind.value} {size / total:.0%}" for kind, size in facts.text.bytes_by_category[:4])
        yield f"text {total:,} bytes: {mix}"
    if budget is not None:
        given = (
            "the client's limit" if budget.output_is_given else "what nine in ten answers need, by estimate"
        )
        yield (
            f"prompt about {budget.prompt_tokens:,} tokens, surely below {budget.prompt_tokens_upper:,}; "
            f"output {budget.output_tokens:,}, {given}"
        )
    if facts.wish is not None:
        plan = decided.plan
        yield f"wish: {plan.wish if plan is not None else facts.wish}"


def _marks(facts: RequestFacts) -> str:
    marks = {
        "streamed": facts.stream,
        f"{facts.tools} tools": facts.tools > 0,
        f"{facts.images} images": facts.images > 0,
        f"{facts.choices} sequences": facts.choices > 1,
        "an answer that can be verified": facts.has_contract or bool(facts.expectation),
        "would repeat itself": facts.is_deterministic,
        f"deadline {facts.deadline_seconds:g} s" if facts.deadline_seconds else "": bool(
            facts.deadline_seconds
        ),
    }
    return "".join(f", {name}" for name, holds in marks.items() if holds)


def _rule(decided: Decided, *, is_forecast: bool) -> str:
    policy = decided.policy
    text = RULES[policy.policy]
    case = decided.witness.case
    if not is_forecast or case is None:
        return text
    if policy.policy is Policy.FIRST_CORRECT:
        of = case.objective
        return (
            f"{text}; a correct answer is worth {of.worth_seconds:,.4g} s, a second of others' "
            f"{of.congestion_weight:g} s, a dollar {of.seconds_per_usd:,.0f} s"
        )
    if policy.policy is Policy.ROUTE_BALANCE:
        return f"{text}: " + ", ".join(f"{name} {value:.3g}" for name, value in case.weights.items())
    return text


def _pool(decided: Decided) -> str:
    pool, budget, snapshot = decided.witness.pool, decided.witness.budget, decided.witness.snapshot
    if pool is None or budget is None or snapshot is None:
        return ""
    known = snapshot.table.fleet.pools[pool.index]
    limit = "any budget" if known.threshold_tokens is None else f"budgets up to {known.threshold_tokens:,}"
    why = {
        "threshold": f"takes {limit}, and this one expects {budget.expected_total_tokens:,} tokens",
        "capacity": f"is the first that can hold {budget.total_tokens:,} tokens",
        "spill": "takes over: the pool that the budget prefers is under pressure, or has no healthy instance",
        "tight": f"has the largest instances: none surely holds {budget.total_tokens:,} tokens, but the expected "
        f"{budget.expected_total_tokens:,} fit",
    }
    return f"{known.name}: {why.get(pool.reason, pool.reason)}"


def _exclusions(decided: Decided) -> Iterator[Exclusion]:
    """Everybody who was not weighed, joined by reason and model, in the order of the fleet file."""
    witness, facts = decided.witness, decided.facts
    snapshot = witness.snapshot
    if snapshot is None or witness.candidates is None or facts is None:
        return
    table = snapshot.table
    reasons: dict[tuple[str, str], list[str]] = {}
    for row in table.rows.tolist():
        reason = _reason(row, decided, table, facts)
        if reason:
            reasons.setdefault((table.clusters[row].model, reason), []).append(table.addresses[row])
    for (model, reason), addresses in reasons.items():
        yield Exclusion(addresses=tuple(addresses), model=model, reason=reason)


def _reason(row: int, decided: Decided, table: FleetTable, facts: RequestFacts) -> str:
    witness = decided.witness
    candidates, pool, budget = witness.candidates, witness.pool, witness.budget
    if candidates is not None and row not in candidates.rows:
        offered = facts.model is None or row in table.offers[facts.model].rows
        return "draining" if offered else f"serves a model that {facts.model} does not stand for"
    if pool is None or budget is None:
        return ""
    if row not in pool.rows and row not in pool.others:
        limit = table.clusters[row].max_model_len
        return f"holds {limit:,} tokens, the budget is {budget.total_tokens:,}"
    weighed = witness.case.predictions.rows if witness.case is not None else pool.rows
    if row in weighed:
        return ""
    if row in pool.rows or not np.isin(table.model_index[row], table.model_index[weighed]):
        failed = facts.is_deterministic and decided.witness.case is not None
        return "its model failed before, and would repeat its answer" if failed else "not weighed"
    name = table.fleet.pools[int(table.pool_index[row])].name
    return f"pool {name}: stands in when the chosen pool has nobody else"


def _knowledge(world: World) -> str:
    fit = (
        f"fitted model {world.model.fit_id or 'without a name'}"
        if world.model is not None
        else "priors of the fleet file"
    )
    learned = (
        f"learned: {', '.join(sorted(world.learned))}"
        if world.learned
        else "nothing learned from traffic yet"
    )
    return f"chances from {fit}; {learned}"
