"""Serves the streams of the ATTEMPT filter: each answer gets its verdict, and a rejected one the next attempt it is worth."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from grpc.aio import EOF, ServicerContext  # type: ignore[attr-defined] # grpc-stubs lacks EOF

from extproc.decide.attempts import AttemptContext, CarriedPlan, Continuation, Following
from extproc.protocol.attempt_exchange import AttemptExchange
from extproc.protocol.events import AnswerReady, Conclusion
from extproc.protocol.wire import ext_proc_pb2 as wire
from extproc.server.verification import Checked
from extproc.settings.verification import JUDGE_MARGIN_SECONDS
from extproc.telemetry.records import AttemptRecord, Listener
from extproc.verify.judge import JudgeCall
from extproc.verify.verdict import Verdict, VerdictKind

GoOn: TypeAlias = Callable[[AttemptContext], Continuation]
"""Says what follows a rejected answer."""

AskJudge: TypeAlias = Callable[[JudgeCall], Awaitable[tuple[int | None, bytes]]]
"""Makes a judge's call and returns status and body; None and nothing when no reply came in time. Must not raise."""

_NO_ANSWER = Conclusion(
    verdict=Verdict(VerdictKind.UNVERIFIED, "skipped.no_answer"), goes_on=False, is_held=False
)

_Context: TypeAlias = ServicerContext[wire.ProcessingRequest, wire.ProcessingResponse]


def go_on_while_planned(context: AttemptContext) -> Continuation:
    """Make every attempt that the plan holds, where it is planned."""
    return Continuation.as_planned(context, "planned")


def learn_nothing(_record: AttemptRecord) -> None:
    """Take no note of a verdict."""


class Verifier(Protocol):
    """Says whether an answer is what was asked for."""

    def verify(self, plan: CarriedPlan, answer: AnswerReady) -> Checked:
        """Check an answer without waiting for anybody."""

    def judged(self, checked: Checked, status: int | None, reply: bytes) -> Verdict:
        """Add the external judge's reply."""


@dataclass(slots=True)
class _Try:
    """One ATTEMPT stream so far."""

    traceparent: str
    start_unix_ns: int
    budget: str = ""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    was_cut: bool = False
    answered_unix_ns: int | None = None


class AttemptServer:
    """Judges the answers of verified plans.

    Args:
        listener: Told of each finished try of a plan that was verified or crosses models.
        clock_ns: Nanoseconds since the epoch.
        verifier: Checks answers; None leaves all of them unverified.
        go_on: Asked after a rejection that is not the last attempt's.
        ask_judge: Asks the external judge; None leaves the word to the verifier.
        on_verdict: Told of each finished try, after the listener; of other plans' tries only of a context-length rejection
            that is retried, and then without the model.
        max_answer_bytes: Largest answer that is held back for a verdict: at most half of the gateway's
            `max_body_bytes`, see `AttemptExchange`.

    Attributes:
        max_answer_bytes: May be replaced at any time; counts from the next try on.
        open_streams: Tries whose answer is not judged yet.
    """

    def __init__(
        self,
        *,
        listener: Listener,
        clock_ns: Callable[[], int],
        max_answer_bytes: int,
        verifier: Verifier | None = None,
        go_on: GoOn = go_on_while_planned,
        ask_judge: AskJudge | None = None,
        on_verdict: Callable[[AttemptRecord], None] = learn_nothing,
    ) -> None:
        self._verifier = verifier
        self._go_on = go_on
        self._ask_judge = ask_judge
        self._on_verdict = on_verdict
        self._listener = listener
        self._clock_ns = clock_ns
        self.max_answer_bytes = max_answer_bytes
        self.open_streams = 0

    async def serve(self, context: _Context, traceparent: str) -> None:
        """Serve one stream.

        Raises:
            ProtocolError: Envoy sent what it may not; the stream is to be failed.
        """
        exchange = AttemptExchange(max_answer_bytes=self.max_answer_bytes)
        attempt = _Try(traceparent, self._clock_ns())
        self.open_streams += 1
        try:
            while not exchange.is_done and (message := await context.read()) is not EOF:
                answer = exchange.receive(message, self._now_unix_ms())
                if answer is not None:
                    await self._judge(context, exchange, answer, attempt)
                await _send(context, exchange)
        finally:
            self.open_streams -= 1
            if exchange.conclusion is not None:
                self._tell(exchange, attempt, exchange.conclusion, has_answer=True)
            elif exchange.is_unanswered:
                self._tell(exchange, attempt, _NO_ANSWER, has_answer=False)

    async def _judge(
        self, context: _Context, exchange: AttemptExchange, answer: AnswerReady, attempt: _Try
    ) -> None:
        attempt.answered_unix_ns = self._clock_ns()
        verdict = Verdict(VerdictKind.UNVERIFIED, "skipped.no_verifier")
        if self._verifier is not None:
            checked = self._verifier.verify(exchange.plan, answer)
            attempt.prompt_tokens = checked.usage.prompt_tokens
            attempt.completion_tokens = checked.usage.completion_tokens
            attempt.was_cut = checked.was_cut
            verdict = checked.verdict
            if checked.judge_call is not None and self._ask_judge is not None:
                exchange.ask_for_time(checked.judge_call.timeout_seconds + JUDGE_MARGIN_SECONDS)
                await _send(context, exchange)
                verdict = self._verifier.judged(checked, *await self._ask_judge(checked.judge_call))
        following: Following | None = None
        now_unix_ms = self._now_unix_ms()
        if verdict.kind is VerdictKind.REJECTED and not exchange.is_last:
            continuation = self._go_on(exchange.context(verdict.reason, now_unix_ms))
            following, attempt.budget = continuation.following, continuation.reason
        exchange.conclude(verdict, following, now_unix_ms=now_unix_ms)

    def _tell(
        self, exchange: AttemptExchange, attempt: _Try, conclusion: Conclusion, *, has_answer: bool
    ) -> None:
        plan, end_unix_ns = exchange.plan, self._clock_ns()
        started_unix_ms = plan.started_unix_ms
        record = AttemptRecord(
            traceparent=attempt.traceparent,
            request_id=exchange.request_id,
            decision_id=exchange.decision_id,
            api=plan.api,
            address=exchange.attempt.address,
            model=exchange.attempt.model,
            number=exchange.number,
            chance=exchange.attempt.chance,
            ability=plan.ability,
            verdict=conclusion.verdict,
            is_verified=plan.is_verified,
            is_last=exchange.is_last,
            goes_on=conclusion.goes_on or (has_answer and exchange.is_retried_by_itself),
            next_address=conclusion.next_address,
            has_answer=has_answer,
            budget=attempt.budget,
            has_session=plan.has_session,
            prompt_tokens=attempt.prompt_tokens,
            completion_tokens=attempt.completion_tokens,
            choices=plan.choices,
            was_cut=attempt.was_cut,
            answer_seconds=(
                (attempt.answered_unix_ns - attempt.start_unix_ns) / 1e9 if attempt.answered_unix_ns else None
            ),
            elapsed_seconds=(
                max(0.0, end_unix_ns / 1e9 - started_unix_ms / 1e3) if started_unix_ms else None
            ),
            start_unix_ns=attempt.start_unix_ns,
            end_unix_ns=end_unix_ns,
        )
        if plan.is_marked:
            self._listener.attempted(record)
        self._on_verdict(record)

    def _now_unix_ms(self) -> int:
        return self._clock_ns() // 1_000_000


async def _send(context: _Context, exchange: AttemptExchange) -> None:
    for response in exchange.responses_to_send():
        await context.write(response)
