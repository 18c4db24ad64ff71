"""What an exchange tells its caller: plain records without a trace of protobuf."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestReady:
    """The request is complete: the caller owes the exchange a `send` or a `reject`.

    Attributes:
        method: HTTP method.
        path: Path with its query.
        content_type: Empty when absent.
        request_id: Envoy's `x-request-id`; empty when absent.
        body: The whole body; empty for a request without one.
        subset: The only `ip:port` or `ip` entries that may serve (protocol 004); None when all may, empty when
            the gateway named none.
    """

    method: str
    path: str
    content_type: str
    request_id: str
    body: bytes
    subset: frozenset[str] | None
