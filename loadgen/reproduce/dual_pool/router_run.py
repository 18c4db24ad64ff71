"""The production router as a chooser: facts in, plans out, and what the access log and scrapes would tell it."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus

import numpy as np

from extproc.calibrate.outcome import DecisionRecord, Outcome, Usage
from extproc.decide.budget import OutputProvision
from extproc.decide.order import Policy
from extproc.decide.plan import Plan
from extproc.decide.planner import PlanPolicy
from extproc.errors import BadRequestError
from extproc.estimate.answer_limits import AnswerLimitEstimator
from extproc.estimate.forecast import Estimators
from extproc.estimate.latency import LatencyEstimator
from extproc.estimate.output_length import OutputLengthEstimator
from extproc.estimate.quality.estimator import QualityEstimator
from extproc.estimate.tokens import PromptTokenEstimator
from extproc.facts.request import Api, RequestFacts
from extproc.fleet.snapshot import FleetTable
from extproc.fleet.topology import Fleet
from extproc.fleet.vllm_metrics import InstanceMetrics
from extproc.router import Router
from extproc.sessions.book import SessionBook
from loadgen.planning.topology import MODEL
from loadgen.planning.traffic import Sizes
from loadgen.reproduce.dual_pool.texts import Pieces, Prompt

MOST_ATTEMPTS = 3
"""As in `envoy/fleet.yaml`."""

REQUEST_TIMEOUT_SECONDS = 3600.0
"""Longer than any run waits."""


class RouterChooser:
    """Chooses as production does, text estimates and all.

    Args:
        fleet: What is routed to.
        made: The requests' prompts.
        sizes: Their true token counts, which answers report.
        found: Where the estimator's priors come from.
        policy: How it prefers instances.
        limits_outputs: True when clients state the output they want as their limit.
        rng: Of the router.
    """

    def __init__(
        self,
        fleet: Fleet,
        made: Sequence[Prompt],
        sizes: Sizes,
        found: Pieces,
        *,
        policy: Policy,
        limits_outputs: bool,
        rng: np.random.Generator,
    ) -> None:
        self._router = Router(
            fleet,
            PlanPolicy(
                policy=policy,
                max_attempts=MOST_ATTEMPTS,
                request_timeout_seconds=REQUEST_TIMEOUT_SECONDS,
                per_try_timeout_seconds=None,
                union_cluster="fleet",
            ),
            output_provision=OutputProvision(quantile=0.9),
            prompts=PromptTokenEstimator(priors=found.priors),
            estimators=Estimators(
                quality=QualityEstimator(),
                latency=LatencyEstimator(FleetTable.of(fleet)),
                outputs=OutputLengthEstimator(),
                limits=AnswerLimitEstimator(),
            ),
            sessions=SessionBook(),
            rng=rng,
        )
        self._made, self._sizes = made, sizes
        self._limits_outputs = limits_outputs
        self._plans: dict[int, tuple[Plan, RequestFacts]] = {}

    def choose(self, number: int, now: float) -> Sequence[str]:
        """The plan's addresses; none when the router refuses."""
        facts = RequestFacts(
            api=Api.COMPLETIONS,
            model=MODEL,
            text=self._made[number].profile,
            max_output_tokens=int(self._sizes.output_tokens[number]) if self._limits_outputs else None,
        )
        try:
            plan = self._router.route(facts, now=now, decision_id=str(number))
        except BadRequestError:
            return ()
        self._plans[number] = (plan, facts)
        return [attempt.address for attempt in plan.attempts]

    def overflowed(self, number: int, address: str, now: float) -> None:
        """As the ATTEMPT filter reports a context-length rejection that is retried."""
        plan, _ = self._plans[number]
        self._router.record_overflow(plan.decision_id, address, None, now)

    def finished(self, number: int, address: str | None, now: float) -> None:
        """As Envoy's access log reports a request."""
        if number not in self._plans:
            return
        plan, facts = self._plans.pop(number)
        usage = Usage(
            prompt_tokens=int(self._sizes.prompt_tokens[number]),
            completion_tokens=int(self._sizes.output_tokens[number]),
        )
        self._router.record(
            Outcome(
                request_id="",
                traceparent="",
                started_unix_seconds=0.0,
                decision=_record(plan, facts),
                served_address=address,
                attempts=1,
                status=HTTPStatus.OK if address else HTTPStatus.BAD_REQUEST,
                flags=(),
                usage=usage if address else None,
                ttft_seconds=None,
                e2e_seconds=0.0,
                instance_seconds=None,
            ),
            now,
        )

    def observe(self, address: str, metrics: InstanceMetrics, now: float) -> None:
        """Hand on a scrape."""
        self._router.observe(address, metrics, now)


def _record(plan: Plan, facts: RequestFacts) -> DecisionRecord:
    budget = plan.budget
    return DecisionRecord(
        decision_id=plan.decision_id,
        api=facts.api,
        model=plan.attempts[0].model,
        planned_model=plan.attempts[0].model,
        pool=plan.pool,
        cluster=plan.route_cluster,
        prompt_tokens=budget.prompt_tokens if budget else None,
        prompt_tokens_upper=budget.prompt_tokens_upper if budget else None,
        output_tokens=budget.output_tokens if budget else None,
        output_is_given=facts.max_output_tokens is not None,
        text=facts.text,
        prompt_token_ids=0,
        messages=0,
        images=0,
        choices=1,
    )
