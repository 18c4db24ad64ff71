"""One ATTEMPT stream without I/O: a try gets the body of its host, and its answer is judged before the client gets it.

Only what the plan asks for passes through here: a try that needs no other body and no verdict is done after its first
message, and a stream of events goes on untouched from its headers.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from extproc.decide.attempts import AttemptContext, CarriedAttempt, CarriedPlan, Following
from extproc.errors import ProtocolError
from extproc.protocol import attempt_answers as answers
from extproc.protocol import names
from extproc.protocol.attempt_place import NOWHERE, find_place
from extproc.protocol.attempt_plan import decode_attempt_plan
from extproc.protocol.context_overflow import is_context_overflow
from extproc.protocol.decode import ResponseHead, header_value, response_head, upstream_address
from extproc.protocol.events import AnswerReady, Conclusion
from extproc.protocol.naming import read_naming, read_rejected
from extproc.protocol.tailor import body_for_try, is_tailored
from extproc.protocol.transitions import AttemptInput, AttemptState, next_attempt_state
from extproc.protocol.wire import ext_proc_pb2 as wire
from extproc.verify.transport import CONTEXT_OVERFLOW, NO_ANSWER_REASONS
from extproc.verify.verdict import Verdict, VerdictKind

_OVERFLOW: Final = Verdict(VerdictKind.REJECTED, CONTEXT_OVERFLOW)


class AttemptExchange:
    """The service's side of one ATTEMPT stream.

    Call `receive` with each message; answer an `AnswerReady` with `conclude`. After each of these calls, send what
    `responses_to_send` returns. Stop when `is_done`.

    Args:
        max_answer_bytes: Largest answer that is held back for a verdict. Envoy 1.40 crashes when an upstream filter
            buffers more than the listener's buffer limit, so this must stay well below that.

    Attributes:
        decision_id: The plan's id.
        request_id: Envoy's `x-request-id`.
        conclusion: How the try ended; None before, and for a try that nothing was asked of.
    """

    def __init__(self, *, max_answer_bytes: int) -> None:
        self.state = AttemptState.IDLE
        self.decision_id = ""
        self.request_id = ""
        self.conclusion: Conclusion | None = None
        self._max_answer_bytes = max_answer_bytes
        self._place = NOWHERE
        self._expectation = ""
        self._request_body: bytes | None = None
        self._response = ResponseHead()
        self._responses: list[wire.ProcessingResponse] = []

    @property
    def is_done(self) -> bool:
        """True when nothing more is wanted of the stream."""
        return self.state is AttemptState.DONE

    @property
    def plan(self) -> CarriedPlan:
        """What travelled with the request."""
        return self._place.plan

    @property
    def attempt(self) -> CarriedAttempt:
        """The plan's attempt that this try makes, perhaps on another instance."""
        return self._place.attempt

    @property
    def number(self) -> int:
        """Upstream tries of the request so far, this one included; at least 1."""
        return self._place.number

    @property
    def is_last(self) -> bool:
        """True when the plan holds no further attempt, or Envoy may not make one."""
        return self._place.is_last

    @property
    def is_retried_by_itself(self) -> bool:
        """True when Envoy goes on to the plan's next host whatever is thought of this try: its status was an error's."""
        is_error = self._response.status >= HTTPStatus.INTERNAL_SERVER_ERROR
        return is_error and self.number <= self.plan.max_retries

    @property
    def is_unanswered(self) -> bool:
        """True for a planned try whose stream ended before its answer was dealt with: it failed, it was given up, or the client left."""
        return self.plan.is_marked and self.conclusion is None

    def context(self, reason: str, now_unix_ms: int) -> AttemptContext:
        """Describe where the plan stands after a rejection for `reason`; only before the last attempt."""
        return AttemptContext(
            decision_id=self.decision_id,
            plan=self.plan,
            made=self._place.made,
            rejected=self._rejected_for(reason),
            number=self.number,
            reason=reason,
            elapsed_seconds=self._elapsed_ms(now_unix_ms) / 1000,
        )

    def receive(self, message: wire.ProcessingRequest, now_unix_ms: int) -> AnswerReady | None:
        """Take one message from Envoy; return the answer once it waits for its verdict.

        Raises:
            ProtocolError: The message cannot come now; the stream is to be failed.
            ValueError: The request has no body that could be made this try's.
        """
        match message.WhichOneof("request"):
            case "request_headers":
                self._receive_request_headers(message)
            case "request_body":
                self._receive_request_body(message.request_body)
            case "response_headers":
                self._receive_response_headers(message.response_headers, now_unix_ms)
            case "response_body":
                return self._receive_response_body(message.response_body, now_unix_ms)
            case None:
                raise ProtocolError("the message holds no request")
            case _:
                self._step(AttemptInput.LEFTOVER)
        return None

    def conclude(self, verdict: Verdict, following: Following | None, *, now_unix_ms: int) -> None:
        """Give the verdict on the held answer, and ask Envoy for the attempt that follows.

        Args:
            verdict: The word on the answer.
            following: The attempt that follows; None when the client gets the answer.
            now_unix_ms: Milliseconds since the epoch.

        Raises:
            ProtocolError: No answer waits for a verdict.
        """
        self._step(AttemptInput.VERDICT)
        self._release(verdict, goes_on=following is not None, following=following, now_unix_ms=now_unix_ms)

    def ask_for_time(self, seconds: float) -> None:
        """Ask Envoy to wait for the verdict for `seconds` from now instead of its usual time."""
        self._responses.append(answers.ask_for_time(seconds))

    def responses_to_send(self) -> list[wire.ProcessingResponse]:
        """Return the answers that are due, once, in the order in which they must be sent."""
        responses, self._responses = self._responses, []
        return responses

    def _step(self, happened: AttemptInput) -> None:
        self.state = next_attempt_state(self.state, happened)

    def _receive_request_headers(self, message: wire.ProcessingRequest) -> None:
        headers = message.request_headers.headers
        count = header_value(headers, names.ATTEMPT_COUNT)
        place = find_place(
            decode_attempt_plan(header_value(headers, names.ATTEMPT_LIMITS)),
            address=upstream_address(message),
            number=int(count) if count.isdecimal() else None,
            naming=read_naming(message),
            rejected=read_rejected(message),
        )
        # The control headers stay: Envoy keeps one header map for all tries, so that a header removed
        # here would be missing from the next.
        if place is None:
            self._step(AttemptInput.HEADERS_UNPLANNED)
            self._responses.append(answers.CONTINUE_REQUEST_HEADERS)
            return
        self._place = place
        self.decision_id = header_value(headers, names.DECISION_ID)
        self.request_id = header_value(headers, names.REQUEST_ID)
        self._expectation = header_value(headers, names.EXPECT)
        wants_body = place.plan.needs_request or is_tailored(place.plan, place.attempt)
        if wants_body and not message.request_headers.end_of_stream:
            self._step(AttemptInput.HEADERS_WANTING_BODY)
            response = answers.WANT_REQUEST_BODY
        else:
            self._step(AttemptInput.HEADERS_PLANNED)
            response = answers.CONTINUE_REQUEST_HEADERS
        stand_in = place.stand_in()
        if stand_in is not None:
            response = answers.copied(response)
            self._name(response, stand_in)
        self._responses.append(response)

    def _receive_request_body(self, message: wire.HttpBody) -> None:
        if self.is_done:
            self._step(AttemptInput.LEFTOVER)
            return
        self._step(AttemptInput.REQUEST_BODY)
        body = message.body
        if self.plan.needs_request:
            self._request_body = body
        if is_tailored(self.plan, self.attempt):
            tailored = body_for_try(body, self.plan, self.attempt)
            self._responses.append(answers.replace_request_body(tailored))
        else:
            self._responses.append(answers.CONTINUE_REQUEST_BODY)

    def _receive_response_headers(self, message: wire.HttpHeaders, now_unix_ms: int) -> None:
        if self.is_done:
            self._step(AttemptInput.LEFTOVER)
            self._responses.append(answers.CONTINUE_RESPONSE_HEADERS)
            return
        head = self._response = response_head(message)
        obstacle = self._obstacle(head)
        if self.attempt.retries_overflow and head.status == HTTPStatus.BAD_REQUEST and not obstacle:
            self._step(AttemptInput.ANSWER_REJECTED)
            self._responses.append(answers.WANT_RESPONSE_BODY)
        elif self.plan.is_verified and head.is_success and not obstacle:
            self._step(AttemptInput.ANSWER_HELD)
            self._responses.append(answers.WANT_RESPONSE_BODY)
        else:
            self._step(AttemptInput.ANSWER_PASSED)
            if self.plan.is_verified:
                reason = obstacle if head.is_success else f"skipped.status_{head.status}"
            else:
                reason = "skipped.not_asked"
            self._pass_on(Verdict(VerdictKind.UNVERIFIED, reason), now_unix_ms)

    def _obstacle(self, head: ResponseHead) -> str:
        """Say why an answer cannot be held back for a verdict; empty when it can."""
        if head.media_type == "text/event-stream":
            return "skipped.stream"
        if head.is_without_body:
            return "skipped.no_body"
        if not head.is_json:
            return "skipped.not_json"
        if head.content_bytes is None:
            # It could outgrow Envoy's buffer, and that is fatal.
            return "skipped.unknown_size"
        return "skipped.too_large" if head.content_bytes > self._max_answer_bytes else ""

    def _receive_response_body(self, message: wire.HttpBody, now_unix_ms: int) -> AnswerReady | None:
        if self.is_done:
            self._step(AttemptInput.LEFTOVER)
            return None
        was_awaiting_error = self.state is AttemptState.AWAITING_ERROR
        self._step(AttemptInput.RESPONSE_BODY)
        if was_awaiting_error:
            is_overflow = is_context_overflow(message.body)
            verdict = _OVERFLOW if is_overflow else Verdict(VerdictKind.UNVERIFIED, "skipped.status_400")
            following = self._place.roomier() if is_overflow else None
            self._release(verdict, goes_on=is_overflow, following=following, now_unix_ms=now_unix_ms)
            return None
        return AnswerReady(
            request_body=self._request_body,
            expectation=self._expectation,
            status=self._response.status,
            content_type=self._response.content_type,
            body=message.body,
        )

    def _pass_on(self, verdict: Verdict, now_unix_ms: int) -> None:
        self._responses.append(answers.pass_on(self._marks(verdict, now_unix_ms)))
        self._keep(Conclusion(verdict=verdict, goes_on=False, is_held=False))

    def _release(
        self, verdict: Verdict, *, goes_on: bool, following: Following | None, now_unix_ms: int
    ) -> None:
        rejected = self._rejected_for(verdict.reason)
        response = answers.release(self._marks(verdict, now_unix_ms), goes_on=goes_on, rejected=rejected)
        if following is not None:
            self._name(response, following)
        self._responses.append(response)
        next_address = following.attempt.address if following else ""
        self._keep(Conclusion(verdict=verdict, goes_on=goes_on, is_held=True, next_address=next_address))

    def _rejected_for(self, reason: str) -> tuple[int, ...]:
        """Indexes of the attempts whose answers were found wrong, this one's included if its rejection says that."""
        says_nothing = reason == CONTEXT_OVERFLOW or reason in NO_ANSWER_REASONS
        return self._place.rejected if says_nothing else self._place.rejected_with_this

    def _name(self, response: wire.ProcessingResponse, following: Following) -> None:
        """Send Envoy to the attempt that follows, unless its list of hosts leads to that very attempt by itself."""
        naming = self._place.naming(following)
        if naming is not None:
            answers.name_next(response, naming)

    def _keep(self, conclusion: Conclusion) -> None:
        # Where a plan says only whose rejections are retried, a retry is all that there is to tell.
        if self.plan.is_marked or conclusion.goes_on:
            self.conclusion = conclusion

    def _marks(self, verdict: Verdict, now_unix_ms: int) -> list[tuple[str, str]]:
        """List the headers that tell the client who answered and what is thought of it."""
        if not self.plan.is_marked:
            return []
        marks = [
            (names.VERDICT, str(verdict.kind)),
            (names.MODEL_HEADER, answers.header_text(self.attempt.model)),
            (names.INSTANCE, self.attempt.address),
            (names.ATTEMPTS, str(self.number)),
        ]
        if verdict.reason:
            marks.append((names.VERDICT_REASON, answers.header_text(verdict.reason)))
        if self.plan.started_unix_ms:
            marks.append((names.ELAPSED, str(self._elapsed_ms(now_unix_ms))))
        return marks

    def _elapsed_ms(self, now_unix_ms: int) -> int:
        """Return 0 at least: the replica that decided may have another clock."""
        started = self.plan.started_unix_ms
        return max(0, now_unix_ms - started) if started else 0
