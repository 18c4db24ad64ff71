"""What tests of the router share: a policy, and what Envoy reports of a request."""

from __future__ import annotations

from typing import Any

from extproc.calibrate.outcome import DecisionRecord, Outcome, Usage
from extproc.decide.budget import OutputProvision
from extproc.decide.order import Policy
from extproc.decide.plan import Plan
from extproc.decide.planner import PlanPolicy
from extproc.facts.request import RequestFacts

POLICY = PlanPolicy(
    policy=Policy.LEAST_WORK,
    max_attempts=3,
    request_timeout_seconds=60.0,
    per_try_timeout_seconds=None,
    union_cluster="fleet",
)


PROVISION = OutputProvision(quantile=0.9)


def the_outcome(plan: Plan, facts: RequestFacts, **changes: Any) -> Outcome:
    """What Envoy reports when the plan's first instance answered."""
    record = DecisionRecord(
        decision_id=plan.decision_id,
        api=facts.api,
        model=plan.attempts[0].model,
        planned_model=plan.attempts[0].model,
        pool=plan.pool,
        cluster=plan.route_cluster,
        prompt_tokens=plan.budget.prompt_tokens if plan.budget else None,
        prompt_tokens_upper=plan.budget.prompt_tokens_upper if plan.budget else None,
        output_tokens=plan.budget.output_tokens if plan.budget else None,
        output_is_given=plan.budget.output_is_given if plan.budget else False,
        text=facts.text,
        prompt_token_ids=0,
        messages=facts.messages,
        images=0,
        choices=1,
    )
    values: dict[str, Any] = {
        "request_id": facts.request_id,
        "traceparent": "",
        "started_unix_seconds": 0.0,
        "decision": record,
        "served_address": plan.attempts[0].address,
        "attempts": 1,
        "status": 200,
        "flags": (),
        "usage": Usage(prompt_tokens=100, completion_tokens=20),
        "ttft_seconds": 0.1,
        "e2e_seconds": 1.0,
        "instance_seconds": 1.0,
    }
    return Outcome(**{**values, **changes})
