"""One DECIDE stream without I/O: messages in, a complete request out; a plan or a refusal in, answers out.

Knows how Envoy must be answered in each body mode; knows nothing of how a plan is made, of gRPC or of time.
"""

from __future__ import annotations

from enum import StrEnum

from extproc.decide.attempts import CarriedSpec
from extproc.decide.plan import Plan
from extproc.errors import BodyTooLargeError, ProtocolError, RoutingError
from extproc.facts.json_body import JsonObject
from extproc.facts.request import RequestFacts
from extproc.protocol import encode, names
from extproc.protocol.client_headers import checked_text, deadline_seconds, refuse_unknown, wish
from extproc.protocol.decode import RequestHead, request_head, subset_hint
from extproc.protocol.events import RequestReady
from extproc.protocol.tailor import body_for_all
from extproc.protocol.transitions import DecideInput, DecideState, next_decide_state
from extproc.protocol.wire import ext_proc_pb2 as wire


class _Delivery(StrEnum):
    """How the request reaches us, and so how the decision must be sent."""

    HEADERS = "headers alone"
    WHOLE = "one buffered body"
    CHUNKS = "streamed, one answer per chunk"
    DUPLEX = "streamed, the body is sent back"


_HEADERS_INPUT = {
    _Delivery.HEADERS: DecideInput.HEADERS_ALONE,
    _Delivery.WHOLE: DecideInput.HEADERS_BEFORE_WHOLE_BODY,
    _Delivery.CHUNKS: DecideInput.HEADERS_BEFORE_CHUNKS,
    _Delivery.DUPLEX: DecideInput.HEADERS_BEFORE_CHUNKS,
}


class DecideExchange:
    """The service's side of one DECIDE stream.

    Call `receive` with each message. Answer a `RequestReady` with `send`, `reject` or `reply`. After each of these calls,
    send what `responses_to_send` returns. Stop when `is_done`.

    Args:
        max_body_bytes: Largest body that is collected from chunks; a body that Envoy buffers is Envoy's to limit.
    """

    __slots__ = (
        "_chunks",
        "_collected_bytes",
        "_delivery",
        "_has_trailers",
        "_head",
        "_max_body_bytes",
        "_responses",
        "_subset",
        "state",
    )

    def __init__(self, *, max_body_bytes: int) -> None:
        self.state = DecideState.IDLE
        self._max_body_bytes = max_body_bytes
        self._responses: list[wire.ProcessingResponse] = []
        self._delivery = _Delivery.WHOLE
        self._head = RequestHead()
        self._subset: frozenset[str] | None = None
        self._chunks: list[bytes] = []
        self._collected_bytes = 0
        self._has_trailers = False

    @property
    def is_done(self) -> bool:
        """True when the answer was given and nothing more is wanted of the stream."""
        return self.state is DecideState.DONE

    @property
    def request_id(self) -> str:
        """Envoy's `x-request-id`; empty before the headers came, or when they lack it."""
        return self._head.request_id

    def receive(self, message: wire.ProcessingRequest) -> list[RequestReady]:
        """Take one message from Envoy; return the request once it is complete.

        Raises:
            ProtocolError: The message cannot come now; the stream is to be failed.
            BodyTooLargeError: The collected body exceeds its limit; the caller owes a `reject`.
            BadRequestError: A header of the client's is malformed; the caller owes a `reject`.
        """
        match message.WhichOneof("request"):
            case "request_headers":
                return self._receive_headers(message)
            case "request_body":
                return self._receive_body(message.request_body)
            case "request_trailers":
                return self._receive_trailers()
            case kind:
                raise ProtocolError(f"{kind or 'an empty message'} cannot come on a DECIDE stream")

    def send(self, plan: Plan, facts: RequestFacts, spec: CarriedSpec | None = None) -> None:
        """Answer the request with a plan; `spec` says what the answers of a verified plan must meet.

        Raises:
            ProtocolError: No complete request awaits an answer.
        """
        next_state = next_decide_state(self.state, DecideInput.ANSWER)
        self._responses.extend(self._decision(plan, facts, spec))
        self.state = next_state

    def reject(self, error: RoutingError) -> None:
        """Answer the client in the instances' stead.

        Raises:
            ProtocolError: No request awaits an answer.
        """
        self.state = next_decide_state(self.state, DecideInput.REFUSAL)
        self._responses.append(encode.refusal(error))

    def reply(self, status: int, document: JsonObject) -> None:
        """Answer the client in the instances' stead with a JSON document.

        Raises:
            ProtocolError: No complete request awaits an answer.
        """
        self.state = next_decide_state(self.state, DecideInput.ANSWER)
        self._responses.append(encode.reply(status, document))

    def responses_to_send(self) -> list[wire.ProcessingResponse]:
        """Return the answers that are due, once, in the order in which they must be sent."""
        responses, self._responses = self._responses, []
        return responses

    def _receive_headers(self, message: wire.ProcessingRequest) -> list[RequestReady]:
        delivery = _delivery(message)
        self.state = next_decide_state(self.state, _HEADERS_INPUT[delivery])
        self._delivery = delivery
        self._head = request_head(message.request_headers.headers)
        self._subset = subset_hint(message)
        if delivery is _Delivery.HEADERS:
            return [self._ready()]
        if delivery is _Delivery.WHOLE:
            self._responses.append(encode.CONTINUE_REQUEST_HEADERS)
        return []

    def _receive_body(self, body: wire.HttpBody) -> list[RequestReady]:
        if self._delivery is _Delivery.WHOLE:
            # Without end_of_stream trailers follow, and the body is whole all the same.
            happened = DecideInput.WHOLE_BODY
        else:
            happened = DecideInput.LAST_CHUNK if body.end_of_stream else DecideInput.CHUNK
        before, self.state = self.state, next_decide_state(self.state, happened)
        if before in (DecideState.READY, DecideState.DONE):
            return []
        self._collect(body.body)
        return [self._ready()] if self.state is DecideState.READY else []

    def _receive_trailers(self) -> list[RequestReady]:
        before, self.state = self.state, next_decide_state(self.state, DecideInput.TRAILERS)
        if before is not DecideState.COLLECTING:
            return []
        self._has_trailers = True
        return [self._ready()]

    def _collect(self, chunk: bytes) -> None:
        self._chunks.append(chunk)
        self._collected_bytes += len(chunk)
        if self._delivery is not _Delivery.WHOLE and self._collected_bytes > self._max_body_bytes:
            raise BodyTooLargeError(
                f"The request body exceeds the limit of {self._max_body_bytes} bytes.",
                reason="body-too-large",
            )

    def _ready(self) -> RequestReady:
        refuse_unknown(self._head.unknown)
        return RequestReady(
            method=self._head.method,
            path=self._head.path,
            content_type=self._head.content_type,
            request_id=self._head.request_id,
            body=self._body(),
            subset=self._subset,
            expectation=checked_text(names.EXPECT, self._head.expectation),
            session=checked_text(names.SESSION, self._head.session),
            deadline_seconds=deadline_seconds(self._head.deadline_ms),
            wish=wish(self._head.preset, self._head.weights),
        )

    def _body(self) -> bytes:
        return self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)

    def _decision(
        self, plan: Plan, facts: RequestFacts, spec: CarriedSpec | None
    ) -> list[wire.ProcessingResponse]:
        if self._delivery is _Delivery.HEADERS:
            return [encode.decision_on_headers(plan, facts, spec)]
        body = body_for_all(self._body(), plan, facts.api)
        match self._delivery:
            case _Delivery.WHOLE:
                return [encode.decision_on_body(plan, facts, body, spec)]
            case _Delivery.CHUNKS:
                responses = encode.decision_on_chunks(plan, facts, body, len(self._chunks), spec)
                return [*responses, encode.CONTINUE_REQUEST_TRAILERS] if self._has_trailers else responses
            case _:
                sent = self._body() if body is None else body
                return encode.decision_on_duplex(plan, facts, sent, spec, has_trailers=self._has_trailers)


def _delivery(message: wire.ProcessingRequest) -> _Delivery:
    """Tell how the request's body will come, from the stream's first message.

    Raises:
        ProtocolError: The filter is configured for a mode in which a decision could not take effect.
    """
    if message.request_headers.end_of_stream:
        return _Delivery.HEADERS
    if not message.HasField("protocol_config"):
        return _Delivery.WHOLE
    config = message.protocol_config
    match config.request_body_mode:
        case wire.ProcessingMode.BUFFERED:
            return _Delivery.WHOLE
        case wire.ProcessingMode.FULL_DUPLEX_STREAMED:
            return _Delivery.DUPLEX
        case wire.ProcessingMode.NONE:
            return _Delivery.HEADERS
        case wire.ProcessingMode.STREAMED if config.send_body_without_waiting_for_header_response:
            return _Delivery.CHUNKS
        case mode:
            raise ProtocolError(f"request_body_mode {mode} does not let a decision reach the headers")
