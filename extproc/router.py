"""The core in one place: a request's facts become a plan, and what Envoy reports becomes load and knowledge.

Does no I/O, reads no clock and draws no randomness of its own: `now` (seconds of a monotonic clock), decision ids and
the random generator come from the caller, so that a simulation runs the very code that production runs.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

import numpy as np

from extproc.calibrate.calibrator import Calibrator
from extproc.calibrate.outcome import Outcome, TryRecord
from extproc.decide.budget import OutputProvision, token_budget
from extproc.decide.eligible import eligible
from extproc.decide.plan import Plan
from extproc.decide.planner import PlanPolicy, plan_passthrough, plan_request
from extproc.estimate.output_length import OutputLengthEstimator
from extproc.estimate.tokens import PromptTokenEstimator
from extproc.facts.request import Api, RequestFacts
from extproc.fleet.load import LoadBook
from extproc.fleet.topology import Fleet
from extproc.fleet.vllm_metrics import InstanceMetrics

EXPIRY_GRACE_SECONDS = 15.0
"""How long after its timeout a request may still be in the load book: Envoy reports later than it ends."""


def no_stages(_name: str) -> None:
    """Ignore the ends of stages: for callers that do not time them."""


class Router:
    """Routes requests and keeps the book about them.

    Args:
        fleet: What can be routed to.
        policy: What the operator decided about plans.
        output_provision: What budgets provide for an output that the client did not limit.
        prompts: Prompt-token estimator.
        outputs: Output-length estimator.
        rng: Source of randomness for policies that want it.
    """

    def __init__(
        self,
        fleet: Fleet,
        policy: PlanPolicy,
        *,
        output_provision: OutputProvision,
        prompts: PromptTokenEstimator,
        outputs: OutputLengthEstimator,
        rng: np.random.Generator,
    ) -> None:
        self.book = LoadBook(fleet)
        self._policy = policy
        self._output_provision = output_provision
        self._prompts = prompts
        self._outputs = outputs
        self._calibrator = Calibrator(prompts, outputs)
        self._rng = rng

    def route(
        self,
        facts: RequestFacts,
        *,
        now: float,
        decision_id: str,
        on_stage: Callable[[str], None] = no_stages,
    ) -> Plan:
        """Decide on a plan and charge its first instance; `on_stage` hears the name of each stage as it ends.

        Raises:
            RoutingError: Nobody can or may serve the request.
        """
        snapshot = self.book.snapshot(now)
        candidates = eligible(facts, snapshot)
        on_stage("eligible")
        if facts.model is None:
            plan = plan_passthrough(facts, candidates, snapshot, self._policy, self._rng, decision_id)
        else:
            budget = token_budget(
                facts, candidates.models, self._prompts, self._outputs, self._output_provision
            )
            on_stage("estimate")
            plan = plan_request(facts, budget, candidates, snapshot, self._policy, self._rng, decision_id)
        on_stage("assign")
        self._charge(plan, facts, now)
        return plan

    def _charge(self, plan: Plan, facts: RequestFacts, now: float) -> None:
        budget = plan.budget
        self.book.charge(
            plan.decision_id,
            addresses=tuple(attempt.address for attempt in plan.attempts),
            request_id=facts.request_id,
            sequences=facts.choices if facts.api is not Api.OTHER else 0,
            prompt_tokens=budget.prompt_tokens if budget else 0,
            output_tokens=budget.output_tokens if budget else 0,
            overflow_addresses=plan.overflow_addresses,
            now=now,
            expires_at=now + plan.timeout_seconds + EXPIRY_GRACE_SECONDS,
        )

    def abandon(self, plan: Plan) -> None:
        """Take back a plan that Envoy never heard of."""
        self.book.release(plan.decision_id)

    def record(self, outcome: Outcome, now: float) -> bool:
        """Take note of a finished request; True when it taught an estimator something."""
        self.book.release(outcome.decision.decision_id if outcome.decision else "", outcome.request_id)
        if outcome.served_address and 200 <= outcome.status < 500:
            self.book.observe_success(outcome.served_address)
        return self._calibrator.learn(outcome)

    def record_try(self, record: TryRecord, now: float) -> bool:
        """Take note of a finished try; True when the plan goes on after a context-length rejection.

        A try that Envoy follows by another one passes its charge on to the plan's next instance.
        """
        if record.is_failure and record.address:
            self.book.observe_failure(record.address, now)
            self.book.advance(record.decision_id, record.address)
            return False
        is_overflow = record.status == HTTPStatus.BAD_REQUEST and self.book.goes_on_after_rejection(
            record.decision_id, record.address
        )
        if is_overflow:
            self.book.advance(record.decision_id, record.address)
        return is_overflow

    def observe(self, address: str, metrics: InstanceMetrics, now: float) -> None:
        """Correct the load book by a scrape."""
        self.book.observe(address, metrics, now)

    def observe_refused(self, address: str) -> None:
        """Note that nobody listens at `address`."""
        self.book.observe_refused(address)

    def replace(self, fleet: Fleet, policy: PlanPolicy, *, output_provision: OutputProvision) -> None:
        """Take over a new fleet and policy; load, estimates and requests in flight are kept."""
        self.book.replace_fleet(fleet)
        self._policy = policy
        self._output_provision = output_provision
