"""The core in one place: a request's facts become a plan, and what Envoy reports becomes load and knowledge.

Does no I/O, reads no clock and draws no randomness of its own: `now` (seconds of a monotonic clock), decision ids and
the random generator come from the caller, so that a simulation runs the very code that production runs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from http import HTTPStatus

import numpy as np

from extproc.calibrate.calibrator import Calibrator
from extproc.calibrate.lessons import LessonBook
from extproc.calibrate.outcome import Outcome, TryRecord, VerdictRecord
from extproc.decide.attempts import AttemptContext, Continuation
from extproc.decide.budget import OutputProvision, token_budget
from extproc.decide.continuation import ContinuationPlanner
from extproc.decide.eligible import Candidates, eligible
from extproc.decide.encounters import Encounters, Met
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
        self._calibrator = Calibrator(prompts, estimators)
        forecaster = Forecaster(estimators, self.book.table)
        self._encounters = Encounters()
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
        self.lessons.ask(decision_id, facts, history.failed_models if history else ())
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
        self.feedback(facts.session, attempt=None, is_correct=False, now=now, only_unjudged=True)
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
            overflow_addresses=plan.overflow_addresses,
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

    def abandon(self, plan: Plan) -> None:
        """Take back a plan that Envoy never heard of."""
        self.book.release(plan.decision_id)
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
        """Take note of what verification said of an answer, and pass the charge on when Envoy makes another attempt."""
        decision_id = record.decision_id
        self._learn(decision_id, record.model, record.chance, is_correct=record.is_correct)
        if record.completion_tokens is not None:
            self._estimators.limits.learn(
                record.model, record.completion_tokens, is_correct=record.is_correct, was_cut=record.was_cut
            )
        met = self._encounters.of(decision_id)
        if met is not None:
            self._calibrator.learn_answer(
                record, met, now=now, sequences_meanwhile=self._beside(met, record.address, now)
            )
        if record.goes_on:
            self.book.advance(decision_id, record.address, record.next_address)
        if record.goes_on or record.answer_seconds is not None:
            self._encounters.go_on(decision_id)

    def feedback(
        self, session: str, *, attempt: int | None, is_correct: bool, now: float, only_unjudged: bool = False
    ) -> bool:
        """Take a client's word on an answer; False when this replica knows of no such answer."""
        judged = self.sessions.judge(
            session, attempt=attempt, is_correct=is_correct, now=now, only_unjudged=only_unjudged
        )
        if judged is None:
            return False
        self._learn(judged.decision_id, judged.model, judged.chance, is_correct=is_correct)
        return True

    def _learn(self, decision_id: str, model: str, chance: float | None, *, is_correct: bool) -> None:
        """Learn from a verdict. Whatever goes wrong with that, the request that brought it goes on."""
        try:
            if chance is not None:
                self._estimators.quality.learn_against(model, expected=chance, correct=is_correct)
            self.lessons.judge(decision_id, model, is_correct=is_correct)
        except Exception as error:  # noqa: BLE001 - a mistake in learning must not cost an answer
            self.on_learning_failure(error)

    # -- afterwards ----------------------------------------------------------------------------------------------

    def record(self, outcome: Outcome, now: float) -> bool:
        """Take note of a finished request; True when it taught an estimator something."""
        decision_id = outcome.decision.decision_id if outcome.decision else ""
        self.book.release(decision_id, outcome.request_id)
        outcome = self.as_served(outcome)
        met = self._encounters.forget(decision_id)
        served = outcome.served_address
        if served and 200 <= outcome.status < 500:
            self.book.observe_success(served)
            row = self.book.table.row_by_address.get(served)
            if row is not None:
                self.sessions.served(decision_id, model=self.book.table.clusters[row].model, address=served)
        else:
            self.sessions.unanswered(decision_id)
        return self._calibrator.learn(
            outcome, met.load if met else None, now=now, sequences_meanwhile=self._beside(met, served, now)
        )

    def _beside(self, met: Met | None, served: str | None, now: float) -> float | None:
        """Mean of the sequences beside a request on the instance that it was planned for; None when not known."""
        ended = self.book.sequence_seconds_on(served, now) if served else None
        if met is None or met.load is None or ended is None or now <= met.at:
            return None
        mean = (ended - met.load.sequence_seconds) / (now - met.at)
        return max(0.0, mean - met.load.own_sequences)

    def as_served(self, outcome: Outcome) -> Outcome:
        """Name the model that really answered: a plan may have gone on to another one."""
        row = self.book.table.row_by_address.get(outcome.served_address or "")
        if row is None or outcome.decision is None or not outcome.decision.model:
            return outcome
        model = self.book.table.clusters[row].model
        if model == outcome.decision.model:
            return outcome
        return replace(outcome, decision=replace(outcome.decision, model=model))

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

    def expire(self, now: float) -> int:
        """Forget sessions and take requests off the book whose end was never reported; how many requests."""
        self.sessions.expire(now)
        return self.book.expire(now)

    def replace(self, fleet: Fleet, policy: PlanPolicy, *, output_provision: OutputProvision) -> None:
        """Take over a new fleet and policy; load, estimates and requests in flight are kept."""
        self.book.replace_fleet(fleet)
        self._policy = policy
        self._output_provision = output_provision
