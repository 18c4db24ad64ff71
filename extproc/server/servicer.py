"""The external-processing service on `grpc.aio`: introduces the exchanges to the router, and knows neither's business.

A stream is answered and ended as soon as its job is done; Envoy goes on without it.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import NoReturn, Protocol, TypeAlias

import grpc
from grpc.aio import EOF, ServicerContext  # type: ignore[attr-defined] # grpc-stubs lacks EOF

from extproc.decide.attempts import CarriedSpec
from extproc.decide.plan import Plan
from extproc.errors import ProtocolError, RoutingError
from extproc.facts.request import Api, RequestFacts
from extproc.facts.wish import Wish
from extproc.fleet.topology import Fleet
from extproc.protocol import names
from extproc.protocol.events import RequestReady
from extproc.protocol.exchange import DecideExchange
from extproc.protocol.feedback import is_feedback, read_feedback
from extproc.protocol.model_list import is_model_list, model_list
from extproc.protocol.wire import ext_proc_pb2 as wire
from extproc.server.attempts import AttemptServer
from extproc.telemetry.records import DecideRecord, Listener, Stage
from extproc.telemetry.trace_context import is_sampled
from extproc.verify.expectation import parse_expectation

logger = logging.getLogger(__name__)

SERVICE_NAME = "envoy.service.ext_proc.v3.ExternalProcessor"

OnStage: TypeAlias = Callable[[str], None]
"""Hears the name of each stage of a decision as it ends."""

Feedback: TypeAlias = Callable[[str, int | None, bool], bool]
"""Takes session, number of the attempt (None for its last) and whether its answer was correct; True when known."""

_Context: TypeAlias = ServicerContext[wire.ProcessingRequest, wire.ProcessingResponse]


def unknown_session(_session: str, _attempt: int | None, _is_correct: bool) -> bool:
    """Know no session."""
    return False


class ParseRequest(Protocol):
    """Understands a request, or raises a `RoutingError`."""

    def __call__(
        self,
        *,
        method: str,
        path: str,
        content_type: str,
        body: bytes,
        request_id: str,
        subset: frozenset[str] | None,
        max_body_bytes: int,
        expectation: str,
        session: str,
        deadline_seconds: float | None,
        wish: Wish | None,
    ) -> RequestFacts:
        """Return the request's facts."""


class Specify(Protocol):
    """Says what the answer to a request must meet, or raises a `RoutingError`."""

    def __call__(self, *, api: Api, request_body: bytes, expectation: str) -> CarriedSpec:
        """Return it as it travels in the request."""


@dataclass(slots=True)
class _StageClock:
    """Times stages that follow each other without a gap."""

    clock_ns: Callable[[], int]
    start_unix_ns: int
    stages: list[Stage] = field(default_factory=list)

    def __call__(self, name: str) -> None:
        end_unix_ns = self.clock_ns()
        self.stages.append(Stage(name, self.start_unix_ns, end_unix_ns))
        self.start_unix_ns = end_unix_ns


@dataclass(slots=True)
class _Decision:
    """What became of one DECIDE stream so far."""

    traceparent: str
    start_unix_ns: int
    stages: _StageClock | None
    facts: RequestFacts | None = None
    plan: Plan | None = None
    error: RoutingError | None = None

    def begin_stages(self) -> OnStage:
        """Return what hears the ends of stages; the first one starts now, when the last of the body is there."""
        if self.stages is None:
            return _untimed
        self.stages.start_unix_ns = self.stages.clock_ns()
        return self.stages


class ExternalProcessor:
    """Serves Envoy's DECIDE and ATTEMPT filters.

    Args:
        parse: Understands requests.
        route: Decides; tells its second argument the name of each stage as it ends; raises a `RoutingError` where
            nobody can or may serve.
        abandon: Told of a plan whose answer could not be given to Envoy, so that nothing stays charged for it.
        listener: Told of each answered request.
        clock_ns: Nanoseconds since the epoch.
        max_body_bytes: Largest request body that is understood.
        attempts: Serves the ATTEMPT filter; one without a verifier when None.
        specify: Says what the answers of verified plans must meet; without it ATTEMPT reads each request again.
        feedback: Told of a client's own verdict, posted to `/v1/feedback`; says whether the session is known.
        fleet: The fleet of the moment, whose models are told to whoever asks; None leaves that to the instances.
    """

    def __init__(
        self,
        *,
        parse: ParseRequest,
        route: Callable[[RequestFacts, OnStage], Plan],
        abandon: Callable[[Plan], None],
        listener: Listener,
        clock_ns: Callable[[], int],
        max_body_bytes: int,
        attempts: AttemptServer | None = None,
        specify: Specify | None = None,
        feedback: Feedback = unknown_session,
        fleet: Callable[[], Fleet] | None = None,
    ) -> None:
        self._parse = parse
        self._route = route
        self._abandon = abandon
        self._listener = listener
        self._clock_ns = clock_ns
        self._max_body_bytes = max_body_bytes
        self._attempts = attempts or AttemptServer(
            listener=listener, clock_ns=clock_ns, max_answer_bytes=max_body_bytes // 2
        )
        self._specify = specify
        self._feedback = feedback
        self._fleet = fleet
        self._started_unix_seconds = clock_ns() // 1_000_000_000

    def rpc_handler(self) -> grpc.GenericRpcHandler[wire.ProcessingRequest, wire.ProcessingResponse]:
        """Return what `grpc.aio.Server.add_generic_rpc_handlers` wants, under Envoy's name of the service."""
        process = grpc.stream_stream_rpc_method_handler(
            self.process, wire.ProcessingRequest.FromString, wire.ProcessingResponse.SerializeToString
        )
        return grpc.method_handlers_generic_handler(SERVICE_NAME, {"Process": process})

    async def process(self, _messages: AsyncIterator[wire.ProcessingRequest], context: _Context) -> None:
        """Serve one stream in the role that the filter's initial metadata names; DECIDE where it names none.

        Reads and writes through the context: that takes 5 % less CPU than iterating over the messages.

        A message that cannot be and a mistake of ours both fail the stream, so that Envoy's `failure_mode_allow`
        decides what becomes of the request.
        """
        metadata = dict(context.invocation_metadata() or ())
        traceparent = str(metadata.get(names.TRACEPARENT, ""))
        if metadata.get(names.ROLE) == names.ROLE_ATTEMPT:
            await self._attempt(context, traceparent)
        else:
            await self._decide(context, traceparent)

    async def _decide(self, context: _Context, traceparent: str) -> None:
        exchange = DecideExchange(max_body_bytes=self._max_body_bytes)
        start_unix_ns = self._clock_ns()
        stages = _StageClock(self._clock_ns, start_unix_ns) if is_sampled(traceparent) else None
        decision = _Decision(traceparent, start_unix_ns, stages)
        is_answered = False
        try:
            while (message := await context.read()) is not EOF:
                self._advance(exchange, message, decision)
                for response in exchange.responses_to_send():
                    await context.write(response)
                if exchange.is_done:
                    is_answered = True
                    return
        except Exception as error:  # noqa: BLE001 - whatever it is, it fails this stream and no other
            await _fail(context, error, exchange.request_id)
        finally:
            if is_answered:
                self._tell(decision, exchange.request_id)
            elif decision.plan is not None:
                self._abandon(decision.plan)

    def _advance(
        self, exchange: DecideExchange, message: wire.ProcessingRequest, decision: _Decision
    ) -> None:
        """Feed one message; once the request is complete, answer it with a plan or a refusal."""
        try:
            for request in exchange.receive(message):
                on_stage = decision.begin_stages()
                if self._reply(exchange, request):
                    return
                decision.facts = self._parse(
                    method=request.method,
                    path=request.path,
                    content_type=request.content_type,
                    body=request.body,
                    request_id=request.request_id,
                    subset=request.subset,
                    max_body_bytes=self._max_body_bytes,
                    expectation=request.expectation,
                    session=request.session,
                    deadline_seconds=request.deadline_seconds,
                    wish=request.wish,
                )
                on_stage("parse")
                if request.expectation:
                    parse_expectation(request.expectation)
                decision.plan = self._route(decision.facts, on_stage)
                exchange.send(
                    decision.plan, decision.facts, self._spec(request, decision.facts, decision.plan)
                )
                on_stage("encode")
        except RoutingError as error:
            decision.error = error
            exchange.reject(error)

    def _reply(self, exchange: DecideExchange, request: RequestReady) -> bool:
        """Answer what is for the gateway itself; False for what an instance is to answer.

        Raises:
            RoutingError: The request cannot be understood, or asks about an unknown model.
        """
        if is_feedback(request):
            exchange.reply(HTTPStatus.ACCEPTED, {"known": self._feedback(*read_feedback(request))})
            return True
        if self._fleet is not None and is_model_list(request):
            listed = model_list(request, self._fleet(), created_unix_seconds=self._started_unix_seconds)
            exchange.reply(HTTPStatus.OK, listed)
            return True
        return False

    def _spec(self, request: RequestReady, facts: RequestFacts, plan: Plan) -> CarriedSpec | None:
        if not plan.is_verified or self._specify is None:
            return None
        return self._specify(api=facts.api, request_body=request.body, expectation=request.expectation)

    def _tell(self, decision: _Decision, request_id: str) -> None:
        self._listener.decided(
            DecideRecord(
                traceparent=decision.traceparent,
                request_id=request_id,
                start_unix_ns=decision.start_unix_ns,
                end_unix_ns=self._clock_ns(),
                facts=decision.facts,
                plan=decision.plan,
                error=decision.error,
                stages=tuple(decision.stages.stages) if decision.stages else (),
            )
        )

    async def _attempt(self, context: _Context, traceparent: str) -> None:
        try:
            await self._attempts.serve(context, traceparent)
        except Exception as error:  # noqa: BLE001 - whatever it is, it fails this stream and no other
            await _fail(context, error, "")


def _untimed(_name: str) -> None:
    """Ignore the ends of stages, of requests whose trace nobody records."""


async def _fail(context: _Context, error: Exception, request_id: str) -> NoReturn:
    """Log the error without its text where that could quote a request, and end the stream with a status."""
    if isinstance(error, ProtocolError):
        logger.warning("request %s: unexpected message from Envoy: %s", request_id, error)
        await context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
    logger.error(
        "request %s: %s\n%s",
        request_id,
        type(error).__name__,
        "".join(traceback.format_tb(error.__traceback__)),
    )
    await context.abort(grpc.StatusCode.INTERNAL, "the service failed to process this message")
