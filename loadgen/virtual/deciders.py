"""Who decides in a run: the router itself, or a policy to compare it with."""

from __future__ import annotations

from dataclasses import replace
from http import HTTPStatus
from typing import Protocol

from extproc.calibrate.outcome import DecisionRecord, Outcome, TryRecord, Usage, VerdictRecord
from extproc.decide.attempts import AttemptContext, CarriedAttempt, CarriedPlan, Following
from extproc.decide.continuation import CUT
from extproc.decide.plan import Plan
from extproc.facts.grams import hash_grams
from extproc.facts.request import Api, RequestFacts
from extproc.facts.text import profile_text
from extproc.fleet.load import LoadBook
from extproc.fleet.topology import Fleet
from extproc.fleet.vllm_metrics import InstanceMetrics
from extproc.router import Router
from loadgen.questions.question import Question
from loadgen.virtual.course import Course, Report, Try
from loadgen.virtual.fleet import AUTO
from loadgen.virtual.policy import Asked, Forecast, Policy

MILLISECONDS = 1e3


class Decider(Protocol):
    """Decides, and hears what a gateway reports."""

    def decide(self, asked: Asked, now: float) -> Course | None:
        """What to do with a question; None to give up."""
        ...

    def following(self, report: Report, now: float) -> Following | None:
        """The attempt that follows the wrong answer of a verified course's last try; None to end it."""
        ...

    def hear_answer(self, report: Report, now: float) -> None:
        """A course ended at `now`, and whoever judges has judged what was delivered."""
        ...

    def hear_try(self, report: Report, attempt: Try, now: float) -> None:
        """A try ended, a little before `now`."""
        ...

    def hear_end(self, report: Report, now: float) -> None:
        """A course ended, a little before `now`."""
        ...

    def observe(self, address: str, metrics: InstanceMetrics, now: float) -> None:
        """An instance was scraped."""
        ...


class PolicyDecider:
    """Lets a policy decide one attempt at a time, with the router's own load book.

    Args:
        fleet: What can be routed to.
        policy: Chooses.
        forecast: Expected lengths, for the book.
    """

    def __init__(self, fleet: Fleet, policy: Policy, forecast: Forecast) -> None:
        self._book = LoadBook(fleet)
        self._policy = policy
        self._forecast = forecast

    def decide(self, asked: Asked, now: float) -> Course | None:
        """A course of one try, or None."""
        table = self._book.table
        row = self._policy.choose(asked, self._book.snapshot(now))
        if row is None:
            return None
        decision_id = f"{asked.number}-{len(asked.rows)}"
        address = table.addresses[row]
        self._book.charge(
            decision_id,
            addresses=(address,),
            request_id="",
            sequences=1,
            prompt_tokens=asked.question.prompt_tokens,
            output_tokens=round(float(self._forecast.tokens(asked.question)[table.model_index[row]])),
            now=now,
            expires_at=float("inf"),
        )
        return Course(decision_id=decision_id, addresses=(address,))

    def following(self, report: Report, now: float) -> Following | None:  # noqa: ARG002 - the protocol's
        """None: a course of one try ends with it."""
        return None

    def hear_answer(self, report: Report, now: float) -> None:
        """Nothing to learn: what a policy knows, it knew before the run."""

    def hear_try(self, report: Report, attempt: Try, now: float) -> None:
        """Nothing to learn: a course of one try ends with it."""

    def hear_end(self, report: Report, now: float) -> None:
        """Take the request out of the book."""
        self._book.release(report.course.decision_id, now=now)

    def observe(self, address: str, metrics: InstanceMetrics, now: float) -> None:
        """Correct the book."""
        self._book.observe(address, metrics, now)


class RouterDecider:
    """The router that runs in production.

    Args:
        router: Decides, and keeps its own books.
        client_judges: True when clients name a session, so that the router knows what failed before.
        client_attempts: Most courses that a client asks for; 1 when it takes the first answer.
        worth_seconds: What a correct answer is worth to a client that judges: it gives up when the next attempt's
            chance times that is below its predicted work; None to go on up to `client_attempts`.
    """

    def __init__(
        self,
        router: Router,
        *,
        client_judges: bool,
        client_attempts: int,
        worth_seconds: float | None = None,
    ) -> None:
        self._router = router
        self._client_judges = client_judges
        self._client_attempts = client_attempts
        self._worth_seconds = worth_seconds
        self._facts: dict[str, RequestFacts] = {}
        self._plans: dict[str, tuple[Plan, RequestFacts]] = {}
        self._courses: dict[int, int] = {}

    def decide(self, asked: Asked, now: float) -> Course | None:
        """The course of the router's plan; None when the client gives up."""
        number = self._courses.get(asked.number, 0)
        if number >= self._client_attempts:
            return None
        self._courses[asked.number] = number + 1
        facts = self._facts_of(asked.question)
        if self._client_judges:
            facts = replace(facts, session=f"s{asked.number}")
        plan = self._router.route(
            facts, now=now, decision_id=f"{asked.number}-{number}", unix_ms=round(now * MILLISECONDS)
        )
        if number and self._is_not_worth_it(plan):
            self._router.abandon(plan, now)
            return None
        self._plans[plan.decision_id] = (plan, facts)
        return Course.of(plan)

    def _is_not_worth_it(self, plan: Plan) -> bool:
        attempt = plan.attempts[0]
        if self._worth_seconds is None or attempt.chance is None:
            return False
        return self._worth_seconds * attempt.chance <= attempt.work_seconds

    def following(self, report: Report, now: float) -> Following | None:
        """As the service decides between two tries: at the load of this moment."""
        plan, facts = self._plans[report.course.decision_id]
        last, carried = report.tries[-1], _carried(plan, facts)
        made = tuple(dict.fromkeys(attempt.position for attempt in report.tries))
        if not carried.remaining(made):
            return None
        following = self._router.continuation(
            AttemptContext(
                decision_id=plan.decision_id,
                plan=carried,
                made=made,
                rejected=made,
                number=len(report.tries),
                reason=CUT if last.was_cut else "expectation.exact",
                elapsed_seconds=now - report.started_seconds,
            ),
            now,
        ).following
        if following is not None:
            self._judged(plan, report, last, following, now)
        return following

    def hear_answer(self, report: Report, now: float) -> None:
        """Tell the verdict on what was delivered: the gateway's own, or what the client posts."""
        plan, facts = self._plans[report.course.decision_id]
        if report.delivered is None:
            return
        if plan.is_verified:
            self._judged(plan, report, report.delivered, None, now)
        elif facts.session:
            self._router.feedback(
                facts.session, attempt=None, is_correct=bool(report.delivered.is_correct), now=now
            )

    def _judged(
        self, plan: Plan, report: Report, judged: Try, following: Following | None, now: float
    ) -> None:
        self._router.record_verdict(
            VerdictRecord(
                decision_id=plan.decision_id,
                model=judged.model,
                address=judged.address,
                chance=(judged.attempt or plan.attempts[judged.position]).chance,
                is_correct=bool(judged.is_correct),
                goes_on=following is not None,
                next_address=following.attempt.address if following else None,
                prompt_tokens=report.prompt_tokens,
                completion_tokens=judged.output_tokens,
                was_cut=judged.was_cut,
                answer_seconds=now - judged.started_seconds,
            ),
            now,
        )

    def hear_try(self, report: Report, attempt: Try, now: float) -> None:
        """Hand on the record of a try, or what the ATTEMPT filter says of a request that was too long."""
        decision_id = report.course.decision_id
        if attempt.status == HTTPStatus.BAD_REQUEST and attempt.address in report.course.overflow_addresses:
            self._router.record_overflow(decision_id, attempt.address, None, now)
        self._router.record_try(
            TryRecord(
                decision_id=decision_id,
                address=attempt.address,
                status=attempt.status,
                flags=(),
                is_failure=attempt.status == 0 or attempt.status >= HTTPStatus.INTERNAL_SERVER_ERROR,
            ),
            now,
        )

    def hear_end(self, report: Report, now: float) -> None:
        """Hand on the record of a request."""
        plan, facts = self._plans.pop(report.course.decision_id)
        served = report.delivered
        self._router.record(
            Outcome(
                request_id=facts.request_id,
                traceparent="",
                started_unix_seconds=report.started_seconds,
                decision=_record(plan, facts, served),
                served_address=served.address if served else None,
                attempts=len(report.tries),
                status=report.status,
                flags=(),
                usage=_usage(report),
                ttft_seconds=None,
                e2e_seconds=report.ended_seconds - report.started_seconds,
                instance_seconds=report.ended_seconds - served.started_seconds if served else None,
            ),
            now,
        )

    def observe(self, address: str, metrics: InstanceMetrics, now: float) -> None:
        """Hand on a scrape."""
        self._router.observe(address, metrics, now)

    def _facts_of(self, question: Question) -> RequestFacts:
        found = self._facts.get(question.key)
        if found is None:
            size = len(question.text.encode())
            found = self._facts[question.key] = RequestFacts(
                api=Api.CHAT_COMPLETIONS,
                model=AUTO,
                text=profile_text([question.text]),
                grams=hash_grams([question.text]),
                messages=1,
                body_bytes=size,
                is_deterministic=True,
            )
        return found


def _carried(plan: Plan, facts: RequestFacts) -> CarriedPlan:
    budget = plan.budget
    return CarriedPlan(
        attempts=tuple(
            CarriedAttempt(
                address=attempt.address,
                model=attempt.model,
                chance=attempt.chance,
                max_tokens=attempt.max_tokens,
                ability=attempt.ability,
            )
            for attempt in plan.attempts
        ),
        max_retries=plan.max_retries,
        is_verified=plan.is_verified,
        api=facts.api,
        started_unix_ms=plan.decided_unix_ms,
        ability=plan.ability,
        prompt_tokens=budget.prompt_tokens if budget else None,
        output_limit_tokens=budget.output_tokens if budget and budget.output_is_given else None,
        choices=facts.choices,
        is_deterministic=facts.is_deterministic,
        is_bound=facts.subset is not None,
    )


def _usage(report: Report) -> Usage | None:
    if report.delivered is None:
        return None
    return Usage(prompt_tokens=report.prompt_tokens, completion_tokens=report.delivered.output_tokens)


def _record(plan: Plan, facts: RequestFacts, served: Try | None) -> DecisionRecord:
    budget = plan.budget
    return DecisionRecord(
        decision_id=plan.decision_id,
        api=facts.api,
        model=served.model if served else plan.attempts[0].model,
        planned_model=plan.attempts[0].model,
        pool=plan.pool,
        cluster=plan.route_cluster,
        prompt_tokens=budget.prompt_tokens if budget else None,
        prompt_tokens_upper=budget.prompt_tokens_upper if budget else None,
        output_tokens=budget.output_tokens if budget else None,
        output_is_given=budget.output_is_given if budget else False,
        text=facts.text,
        prompt_token_ids=facts.prompt_token_ids,
        messages=facts.messages,
        images=facts.images,
        choices=facts.choices,
    )
