"""What an exchange tells its caller: plain records without a trace of protobuf."""

from __future__ import annotations

from dataclasses import dataclass

from extproc.facts.wish import Wish
from extproc.verify.verdict import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestReady:
    """The request is complete: the caller owes the exchange a `send` or a `reject`.

    Attributes:
        method: HTTP method.
        path: Path with its query.
        content_type: Empty when absent.
        request_id: Envoy's `x-request-id`; empty when absent.
        body: The whole body; empty for a request without one.
        expectation: `x-ttca-expect` as the client sent it; empty when absent.
        session: `x-ttca-session` as the client sent it; empty when absent.
        deadline_seconds: `x-ttca-deadline-ms` in seconds; None when absent.
        wish: `x-ttca-preset` or `x-ttca-weights`; None when both are absent.
        subset: The only `ip:port` or `ip` entries that may serve (protocol 004); None when all may, empty when
            the gateway named none.
    """

    method: str
    path: str
    content_type: str
    request_id: str
    body: bytes
    subset: frozenset[str] | None
    expectation: str = ""
    session: str = ""
    deadline_seconds: float | None = None
    wish: Wish | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerReady:
    """An answer waits for its verdict: the caller owes the exchange a `conclude`.

    Attributes:
        request_body: The body that DECIDE made of the request; None when the plan needs none for verification.
        expectation: `x-ttca-expect` of the request; empty when absent.
        status: HTTP status, from 200 to 299.
        content_type: As the instance sent it.
        body: The whole answer.
    """

    request_body: bytes | None
    expectation: str
    status: int
    content_type: str
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Conclusion:
    """How a try ended.

    Attributes:
        verdict: The word on its answer.
        goes_on: True when Envoy was asked for the plan's next attempt.
        next_address: Where; empty when it does not.
        is_held: True when the answer was held back until the verdict; False when it went on at its headers.
    """

    verdict: Verdict
    goes_on: bool
    is_held: bool
    next_address: str = ""
