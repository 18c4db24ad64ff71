"""The core in one place: a request's facts become a plan, and what Envoy reports becomes load and knowledge.

Does no I/O, reads no clock and draws no randomness of its own: `now` (seconds of a monotonic clock), decision ids and
the random generator come from the caller, so that a simulation runs the very code that production runs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from extproc.calibrate.lessons import LessonBook
from extproc.calibrate.outcome import Outcome, TryRecord, VerdictRecord
from extproc.calibrate.reports import Reports
from extproc.decide.attempts import AttemptContext, Continuation
from extproc.decide.budget import OutputProvision, token_budget
from extproc.decide.continuation import ContinuationPlanner
from extproc.decide.eligible import Candidates, eligible
from extproc.decide.encounters import Encounters
from extproc.decide.overrides import grant
from extproc.decide.plan import Plan, TokenBudget
from extproc.decide.planner import PlanPolicy, plan_passthrough, plan_request
from extproc.decide.policies import POLICIES, ByForecast
from extproc.decide.quality_planner import Moment, QualityPlanner
from extproc.decide.witness import Witness
from extproc.estimate.forecast import Estimators, Forecaster
from extproc.estimate.tokens import PromptTokenEstimator
from extproc.facts.request import Api, RequestFacts
from extproc.fleet.load import LoadBook
from extproc.fleet.snapshot import FleetSnapshot
from extproc.fleet.topology import Fleet
from extproc.fleet.vllm_metrics import InstanceMetrics
from extproc.sessions.book import SessionBook, SessionHistory

EXPIRY_GRACE_SECONDS = 15.0
"""How long after its timeout a request may still be in the load book: Envoy reports later than it ends."""


def no_stages(_name: str) -> None:
    """Ignore the ends of stages: for callers that do not time them."""


def unheard(_error: Exception) -> None:
    """Tell nobody of a mistake."""


class Router:
    """Routes requests and keeps the books about them.

    Args:
        fleet: What can be routed to.
        policy: What the operator decided about plans.
        output_provision: What budgets provide for an output that the client did not limit.
        prompts: Prompt-token estimator.
        estimators: What else is estimated; its latency estimator knows the same fleet.
        sessions: Memory of clients who judge for themselves.
        rng: Source of randomness for policies that want it.

    Attributes:
        book: The load of every instance.
        sessions: See above.
        lessons: Judged answers, for whoever wants to be told.
        on_learning_failure: Told of mistakes of ours in learning from a verdict; the request goes on.
    """

    def __init__(
        self,
        fleet: Fleet,
        policy: PlanPolicy,
        *,
        output_provision: OutputProvision,
        prompts: PromptTokenEstimator,
        estimators: Estimators,
        sessions: SessionBook,
        rng: np.random.Generator,
    ) -> None:
        self.book = LoadBook(fleet)
        self.sessions = sessions
        self.lessons = LessonBook()
        self.on_learning_failure: Callable[[Exception], None] = unheard
        self._policy = policy
        self._output_provision = output_provision
        self._prompts = prompts
        self._estimators = estimators
        forecaster = Forecaster(estimators, self.book.table)
        self._encounters = Encounters()
        self._reports = Reports(
            self.book,
            sessions,
            self.lessons,
            self._encounters,
            prompts=prompts,
            estimators=estimators,
            on_learning_failure=self._tell_failure,
        )
        self._quality = QualityPlanner(forecaster, self._encounters)
        self._continuations = ContinuationPlanner(estimators, forecaster)
        self._rng = rng

    @property
    def reads_words(self) -> bool:
        """Tell whether a prompt's words are wanted: the policy weighs quality by a model of words, or lessons are kept."""
        weighs_quality = isinstance(POLICIES[self._policy.policy], ByForecast)
        reads_words = weighs_quality and self._estimators.quality.model.text is not None
        return reads_words or self.lessons.tell is not None

    def route(
        self,
        facts: RequestFacts,
        *,
        now: float,
        decision_id: str,
        unix_ms: int = 0,
        on_stage: Callable[[str], None] = no_stages,
        witness: Witness | None = None,
    ) -> Plan:
        """Decide on a plan and charge its first instance; `on_stage` hears the name of each stage as it ends.

        Args:
            facts: The request.
            now: Seconds of a monotonic clock.
            decision_id: Unique name of the decision.
            unix_ms: The same moment in milliseconds since the epoch, for plans that tell the time to other replicas.
            on_stage: Called at the end of each stage.
            witness: Takes note of what was looked at, for an explanation.

        Raises:
            RoutingError: Nobody can or may serve the request.
        """
        history = self._history(facts, now)
        snapshot = self.book.snapshot(now)
        candidates = eligible(facts, snapshot)
        on_stage("eligible")
        if witness is not None:
            witness.snapshot, witness.candidates = snapshot, candidates
        if facts.model is None:
            plan = plan_passthrough(
                facts,
                candidates,
                snapshot=snapshot,
                policy=self._policy,
                rng=self._rng,
                decision_id=decision_id,
            )
        else:
            budget = token_budget(
                facts, candidates.models, self._prompts, self._estimators.outputs, self._output_provision
            )
            on_stage("estimate")
            plan = self._plan(
                facts,
                budget,
                candidates,
                snapshot=snapshot,
                history=history,
                moment=Moment(decision_id=decision_id, now=now, unix_ms=unix_ms),
                witness=witness,
            )
        on_stage("assign")
        self._charge(plan, facts, now)
        self.lessons.ask(decision_id, facts, history.judged_models if history else ())
        return plan

    def _plan(
        self,
        facts: RequestFacts,
        budget: TokenBudget,
        candidates: Candidates,
        *,
        snapshot: FleetSnapshot,
        history: SessionHistory | None,
        moment: Moment,
        witness: Witness | None,
    ) -> Plan:
        """Plan a request whose model is known, by the operator's policy or by what of the client's wish was granted."""
        granting = grant(facts.wish, self._policy) if facts.wish is not None else None
        policy = granting.policy if granting is not None else self._policy
        rule = POLICIES[policy.policy]
        if isinstance(rule, ByForecast):
            plan = self._quality.plan(
                facts,
                budget,
                candidates,
                snapshot=snapshot,
                policy=policy,
                rule=rule,
                history=history,
                moment=moment,
                witness=witness,
            )
        else:
            plan = plan_request(
                facts,
                budget,
                candidates,
                snapshot=snapshot,
                policy=policy,
                rng=self._rng,
                decision_id=moment.decision_id,
                decided_unix_ms=moment.unix_ms,
                elapsed_seconds=max(0.0, moment.now - history.started_at) if history else 0.0,
                witness=witness,
            )
        if granting is None:
            return plan
        return replace(plan, wish=granting.words, objective=policy.objective if granting.is_granted else None)

    def _history(self, facts: RequestFacts, now: float) -> SessionHistory | None:
        """What is known of the request's session; asking again says that the answer before was wrong."""
        if not facts.session:
            return None
        self._reports.asked_again(facts.session, now)
        return self.sessions.history(facts.session, now)

    def _charge(self, plan: Plan, facts: RequestFacts, now: float) -> None:
        budget = plan.budget or TokenBudget(
            prompt_tokens=0, prompt_tokens_upper=0, output_tokens=0, output_is_given=False
        )
        self.book.charge(
            plan.decision_id,
            addresses=tuple(attempt.address for attempt in plan.attempts),
            request_id=facts.request_id,
            sequences=facts.choices if facts.api is not Api.OTHER else 0,
            prompt_tokens=budget.prompt_tokens,
            output_tokens=budget.output_tokens,
            hedge_seconds=plan.per_try_timeout_seconds if plan.hedges else None,
            now=now,
            expires_at=now + plan.timeout_seconds + EXPIRY_GRACE_SECONDS,
        )
        if facts.session:
            first = plan.attempts[0]
            self.sessions.enter(
                facts.session,
                decision_id=plan.decision_id,
                model=first.model,
                address=first.address,
                chance=first.chance,
                now=now,
            )

    def abandon(self, plan: Plan, now: float) -> None:
        """Take back a plan that Envoy never heard of."""
        self.book.release(plan.decision_id, now=now)
        self.sessions.unanswered(plan.decision_id)
        self._encounters.forget(plan.decision_id)
        self.lessons.forget(plan.decision_id)

    # -- while a plan is carried out ---------------------------------------------------------------------------------

    def continuation(self, context: AttemptContext, now: float) -> Continuation:
        """Say what follows a rejected answer at the present load: the plan's next attempt, and where, or nothing."""
        met = self._encounters.of(context.decision_id)
        continuation = self._continuations.after(
            context, self.book.snapshot(now), self._policy.objective, met.text if met else None
        )
        following, load = continuation.following, continuation.load
        if following is not None and load is not None:
            self._encounters.expect(context.decision_id, following.attempt.address, load, now)
        return continuation

    def record_verdict(self, record: VerdictRecord, now: float) -> None:
        """Take note of what verification said of an answer; see `Reports.verdict`."""
        self._reports.verdict(record, now)

    def record_overflow(self, decision_id: str, address: str, next_address: str | None, now: float) -> None:
        """Take note of a context-length rejection that is retried; see `Reports.overflowed`."""
        self._reports.overflowed(decision_id, address, next_address, now)

    def feedback(self, session: str, *, attempt: int | None, is_correct: bool, now: float) -> bool:
        """Take a client's word on an answer; False when this replica knows of no such answer."""
        return self._reports.feedback(session, attempt=attempt, is_correct=is_correct, now=now)

    # -- afterwards ----------------------------------------------------------------------------------------------

    def record(self, outcome: Outcome, now: float) -> bool:
        """Take note of a finished request; True when it taught an estimator something."""
        return self._reports.finished(outcome, now)

    def as_served(self, outcome: Outcome) -> Outcome:
        """Name the model that really answered: a plan may have gone on to another one."""
        return self._reports.as_served(outcome)

    def record_try(self, record: TryRecord, now: float) -> None:
        """Take note of a finished try; see `Reports.tried`."""
        self._reports.tried(record, now)

    def _tell_failure(self, error: Exception) -> None:
        self.on_learning_failure(error)

    def observe(self, address: str, metrics: InstanceMetrics, now: float) -> None:
        """Correct the load book by a scrape."""
        self.book.observe(address, metrics, now)

    def observe_refused(self, address: str) -> None:
        """Note that nobody listens at `address`."""
        self.book.observe_refused(address)

    def observe_unread(self, address: str) -> None:
        """Note that a scrape of `address` gave no figures, though it was not refused."""
        self.book.observe_unread(address)

    def expire(self, now: float) -> int:
        """Forget sessions and take requests off the book whose end was never reported; how many requests."""
        self.sessions.expire(now)
        return self.book.expire(now)

    def replace(self, fleet: Fleet, policy: PlanPolicy, *, output_provision: OutputProvision) -> None:
        """Take over a new fleet and policy; load, estimates and requests in flight are kept."""
        self.book.replace_fleet(fleet)
        self._policy = policy
        self._output_provision = output_provision
