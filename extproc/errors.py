"""What can go wrong with a request, as types: the status and reason a client gets, and whose fault it was.

RoutingError
├── BadRequestError       400  the client's request cannot be served by anyone
├── ModelNotFoundError    404  no configured model or alias has that name
├── BodyTooLargeError     413  the body exceeds the configured limit
└── NoInstanceError       503  the request is fine, but nobody may serve it right now
ProtocolError                  Envoy sent a message that the exchange's state does not allow
"""

from __future__ import annotations

from typing import ClassVar


class RoutingError(Exception):
    """A request that gets an answer from us instead of from an instance.

    Attributes:
        http_status: Status of the answer.
        error_type: `error.type` of the OpenAI-shaped body.
        reason: Short machine-readable reason, also sent as the header `x-ttca-error-reason`.
        param: `error.param` of the OpenAI-shaped body: the field at fault, if there is one.
    """

    http_status: ClassVar[int]
    error_type: ClassVar[str]

    def __init__(self, message: str, *, reason: str, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason
        self.param = param


class BadRequestError(RoutingError):
    """The client's request cannot be served by anyone."""

    http_status = 400
    error_type = "BadRequestError"


class ModelNotFoundError(RoutingError):
    """No configured model or alias has that name."""

    http_status = 404
    error_type = "NotFoundError"


class BodyTooLargeError(RoutingError):
    """The body exceeds the configured limit."""

    http_status = 413
    error_type = "RequestEntityTooLargeError"


class NoInstanceError(RoutingError):
    """The request is fine, but nobody may serve it right now."""

    http_status = 503
    error_type = "ServiceUnavailableError"


class ProtocolError(Exception):
    """Envoy sent a message that the exchange's state does not allow."""
