"""One ATTEMPT stream without I/O: turns an instance's context-length rejection into a retry by Envoy's router.

Watches only what the plan's limits name: a try of any other instance is done after its first message, and no byte
of a good answer passes through here.
"""

from __future__ import annotations

from extproc.errors import ProtocolError
from extproc.protocol import names
from extproc.protocol.attempt_limits import decode_attempt_limits
from extproc.protocol.context_overflow import is_context_overflow
from extproc.protocol.decode import header_value, upstream_address
from extproc.protocol.encode import (
    CONTINUE_REQUEST_HEADERS,
    CONTINUE_RESPONSE_BODY,
    CONTINUE_RESPONSE_HEADERS,
    HOLD_ERROR_BODY,
    RETRY_ON_NEXT_INSTANCE,
)
from extproc.protocol.transitions import AttemptInput, AttemptState, next_attempt_state
from extproc.protocol.wire import ext_proc_pb2 as wire

_REJECTED_STATUS = "400"


class AttemptExchange:
    """The service's side of one ATTEMPT stream.

    Call `receive` with each message, send what `responses_to_send` returns, and stop when `is_done`.
    """

    __slots__ = ("_responses", "state")

    def __init__(self) -> None:
        self.state = AttemptState.IDLE
        self._responses: list[wire.ProcessingResponse] = []

    @property
    def is_done(self) -> bool:
        """True when nothing more is wanted of the stream."""
        return self.state is AttemptState.DONE

    def receive(self, message: wire.ProcessingRequest) -> None:
        """Take one message from Envoy.

        Raises:
            ProtocolError: The message cannot come now; the stream is to be failed.
        """
        match message.WhichOneof("request"):
            case "request_headers":
                self._receive_request_headers(message)
            case "response_headers":
                self._receive_response_headers(message.response_headers)
            case "response_body":
                self._receive_response_body(message.response_body)
            case None:
                raise ProtocolError("the message holds no request")
            case _:
                self.state = next_attempt_state(self.state, AttemptInput.LEFTOVER)

    def responses_to_send(self) -> list[wire.ProcessingResponse]:
        """Return the answers that are due, once, in the order in which they must be sent."""
        responses, self._responses = self._responses, []
        return responses

    def _receive_request_headers(self, message: wire.ProcessingRequest) -> None:
        limits = decode_attempt_limits(header_value(message.request_headers.headers, names.ATTEMPT_LIMITS))
        is_limited = (
            bool(limits.overflow_addresses) and upstream_address(message) in limits.overflow_addresses
        )
        happened = AttemptInput.HEADERS_WITH_LIMITS if is_limited else AttemptInput.HEADERS_WITHOUT_LIMITS
        self.state = next_attempt_state(self.state, happened)
        # The control headers stay: Envoy keeps one header map for all tries, so that a header removed
        # here would be missing from the next.
        self._responses.append(CONTINUE_REQUEST_HEADERS)

    def _receive_response_headers(self, headers: wire.HttpHeaders) -> None:
        is_rejection = (
            header_value(headers.headers, ":status") == _REJECTED_STATUS and not headers.end_of_stream
        )
        was_watching = self.state is AttemptState.WATCHING
        happened = AttemptInput.HEADERS_REJECTED if is_rejection else AttemptInput.HEADERS_ACCEPTED
        self.state = next_attempt_state(self.state, happened)
        self._responses.append(
            HOLD_ERROR_BODY if was_watching and is_rejection else CONTINUE_RESPONSE_HEADERS
        )

    def _receive_response_body(self, body: wire.HttpBody) -> None:
        was_awaiting = self.state is AttemptState.AWAITING_ERROR
        self.state = next_attempt_state(self.state, AttemptInput.ERROR_BODY)
        is_overflow = was_awaiting and is_context_overflow(body.body)
        self._responses.append(RETRY_ON_NEXT_INSTANCE if is_overflow else CONTINUE_RESPONSE_BODY)
