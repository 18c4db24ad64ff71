"""A gateway that carries plans out as Envoy does, in virtual time.

A try goes to the plan's next host, or to the instance that was named for it when an answer was rejected. A 503 (queue full), a try that exceeds its own timeout, a context-length rejection
by a host that the plan calls too small and, in a verified plan, a wrong answer are followed by the next host while
retries remain, after a short back-off. The whole has a timeout. Verification is perfect and takes no time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from http import HTTPStatus

from extproc.decide.attempts import CarriedAttempt, Following
from loadgen.engine.config import EngineConfig
from loadgen.engine.records import Completion, QueueFullError
from loadgen.questions.question import Question
from loadgen.virtual.course import Course, Report, Try
from loadgen.virtual.events import Events
from loadgen.virtual.machines import Machines

BACK_OFF_SECONDS = 0.005
"""Mean of the jittered back-off before a first retry, of 10 ms at most as rendered; taken for every retry."""


class Gateway:
    """Carries out courses.

    Args:
        configs: Configuration of each engine, by address.
        models: Model that each instance serves, by address.
        events: The run's agenda.
        on_try: Hears of every try as it ends.
        following: Asked for the attempt that follows a wrong answer of a verified course; None to end it.
        keeps_prefixes: True when engines do not prefill a prompt again that they still hold.
    """

    def __init__(
        self,
        configs: Mapping[str, EngineConfig],
        models: Mapping[str, str],
        events: Events,
        on_try: Callable[[Report, Try], None],
        following: Callable[[Report], Following | None],
        *,
        keeps_prefixes: bool = False,
    ) -> None:
        self.machines = Machines(configs, events, self._answered, keeps_prefixes=keeps_prefixes)
        self._models = models
        self._events = events
        self._on_try = on_try
        self._following = following
        self._under_way: dict[str, tuple[_Call, Try]] = {}

    def send(self, course: Course, question: Question, on_end: Callable[[Report], None]) -> None:
        """Carry out a course; `on_end` hears once what came of it, later or at once."""
        report = Report(course=course, prompt_tokens=question.prompt_tokens, started_seconds=self._events.now)
        call = _Call(course, question, on_end, report)
        if math.isfinite(course.timeout_seconds):
            self._events.after(course.timeout_seconds, partial(self._time_out, call))
        self._next(call)

    def _next(self, call: _Call) -> None:
        """Send the next try."""
        if call.is_over:
            return
        number = len(call.report.tries)
        position, named, address, limit = call.take_next()
        attempt = Try(
            address=address,
            model=self._models[address],
            attempt=named,
            position=position,
            started_seconds=self._events.now,
        )
        call.report.tries.append(attempt)
        request_id = f"{call.course.decision_id}/{number}"
        self._under_way[request_id] = (call, attempt)
        call.pending[request_id] = attempt
        try:
            self.machines.submit(
                address,
                request_id,
                prompt_tokens=call.question.prompt_tokens,
                output_tokens=_cut(call.question.output_tokens[attempt.model], limit),
                prompt=call.question.key,
            )
        except QueueFullError:
            self._refused(call, request_id, HTTPStatus.SERVICE_UNAVAILABLE)
            return
        except ValueError:
            self._refused(call, request_id, HTTPStatus.BAD_REQUEST)
            return
        patience = call.course.per_try_timeout_seconds
        if patience is not None:
            self._events.after(patience, partial(self._try_timed_out, call, request_id))

    def _answered(self, completion: Completion) -> None:
        call, attempt = self._under_way[completion.request_id]
        attempt.output_tokens = completion.output_tokens
        attempt.was_cut = completion.output_tokens < call.question.output_tokens[attempt.model]
        attempt.is_correct = call.question.correct[attempt.model] and not attempt.was_cut
        self._end_try(call, completion.request_id, HTTPStatus.OK)
        if call.is_over:  # it finished at the very moment at which it would have been aborted
            return
        is_final = attempt.is_correct or not call.course.is_verified
        following = self._following(call.report) if not is_final and call.can_retry else None
        if following is not None:
            call.name_next(following)
            self._retry(call)
        elif is_final or not (call.pending or call.is_retrying):
            self._end(call, HTTPStatus.OK, attempt)

    def _refused(self, call: _Call, request_id: str, status: HTTPStatus) -> None:
        attempt = self._end_try(call, request_id, status)
        follows = status is not HTTPStatus.BAD_REQUEST or attempt.address in call.course.overflow_addresses
        if follows and call.can_retry:
            self._retry(call)
        elif not call.pending:
            self._end(call, status, None)

    def _try_timed_out(self, call: _Call, request_id: str) -> None:
        attempt = call.pending.get(request_id)
        if attempt is None:
            return
        if call.course.hedges:
            if call.can_retry:
                self._next(call)
            return
        attempt.output_tokens = self.machines.abort(attempt.address, request_id)
        if request_id not in call.pending:  # it finished at this very moment
            return
        self._end_try(call, request_id, None)
        if call.can_retry:
            self._retry(call)
        elif not call.pending:
            self._end(call, HTTPStatus.GATEWAY_TIMEOUT, None)

    def _retry(self, call: _Call) -> None:
        call.is_retrying = True
        self._events.after(BACK_OFF_SECONDS, partial(self._go_on, call))

    def _go_on(self, call: _Call) -> None:
        call.is_retrying = False
        self._next(call)

    def _time_out(self, call: _Call) -> None:
        if not call.is_over:
            self._end(call, HTTPStatus.GATEWAY_TIMEOUT, None)

    def _end_try(self, call: _Call, request_id: str, status: HTTPStatus | None) -> Try:
        del self._under_way[request_id]
        attempt = call.pending.pop(request_id)
        attempt.ended_seconds = self._events.now
        attempt.status = status or 0
        self._on_try(call.report, attempt)
        return attempt

    def _end(self, call: _Call, status: HTTPStatus, delivered: Try | None) -> None:
        call.is_over = True
        for request_id, attempt in list(call.pending.items()):
            attempt.output_tokens = self.machines.abort(attempt.address, request_id)
            if request_id in call.pending:
                self._end_try(call, request_id, None)
        report = call.report
        report.status, report.delivered, report.ended_seconds = status, delivered, self._events.now
        call.on_end(report)


class _Call:
    """One request in the gateway."""

    __slots__ = (
        "_hosts_used",
        "_named",
        "_was_named",
        "course",
        "is_over",
        "is_retrying",
        "on_end",
        "pending",
        "question",
        "report",
    )

    def __init__(
        self, course: Course, question: Question, on_end: Callable[[Report], None], report: Report
    ) -> None:
        self.course = course
        self.question = question
        self.on_end = on_end
        self.report = report
        self.pending: dict[str, Try] = {}
        self.is_over = False
        self.is_retrying = False
        self._hosts_used = 0
        self._named: Following | None = None
        self._was_named = False

    def name_next(self, following: Following) -> None:
        """Send the next try to the instance of an attempt, unless the list of hosts leads to that attempt by itself."""
        position = self._hosts_used
        is_next = position < len(self.course.addresses) and (
            self.course.addresses[position],
            self.course.limit(position),
        ) == (following.attempt.address, following.attempt.max_tokens)
        if self._was_named or not is_next:
            self._named = following
            self._was_named = True

    def take_next(self) -> tuple[int, CarriedAttempt | None, str, int | None]:
        """The attempt that is made next: index, how it was named, instance, limit of output tokens."""
        if self._named is not None:
            following, self._named = self._named, None
            attempt = following.attempt
            return following.position, attempt, attempt.address, attempt.max_tokens
        host = self._instead_of_wrong()
        if host is None:
            host = self._hosts_used
            self._hosts_used += 1
        return self.course.attempt_at(host), None, self.course.addresses[host], self.course.limit(host)

    def _instead_of_wrong(self) -> int | None:
        """The first attempt left where the list leads to a wrong one: a named try says beforehand what follows its failure."""
        course, tries = self.course, self.report.tries
        wrong = {attempt.position for attempt in tries if attempt.is_correct is False}
        if course.attempt_at(self._hosts_used) not in wrong:
            return None
        over = {attempt.position for attempt in tries}
        return next(
            (host for host in range(len(course.addresses)) if course.attempt_at(host) not in over), None
        )

    @property
    def can_retry(self) -> bool:
        return not (self.is_over or self.is_retrying) and len(self.report.tries) <= self.course.max_retries


def _cut(output_tokens: int, limit: int | None) -> int:
    return output_tokens if limit is None else min(output_tokens, limit)
