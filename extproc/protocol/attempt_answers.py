"""What the ATTEMPT filter is answered. The constants are shared by all streams; nobody may change them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final
from urllib.parse import quote

from extproc.protocol import names
from extproc.protocol.encode import set_header
from extproc.protocol.naming import Naming, write_naming, write_rejected
from extproc.protocol.wire import ext_proc_pb2 as wire

Headers = Iterable[tuple[str, str]]

CONTINUE_REQUEST_HEADERS: Final = wire.ProcessingResponse(request_headers=wire.HeadersResponse())

WANT_REQUEST_BODY: Final = wire.ProcessingResponse(
    request_headers=wire.HeadersResponse(),
    # Envoy takes over the whole mode, so the header mode is named with it.
    mode_override=wire.ProcessingMode(
        response_header_mode=wire.ProcessingMode.SEND, request_body_mode=wire.ProcessingMode.BUFFERED
    ),
)
"""Answer to request headers: hold the try back and deliver its body."""

WANT_RESPONSE_BODY: Final = wire.ProcessingResponse(
    response_headers=wire.HeadersResponse(),
    mode_override=wire.ProcessingMode(
        response_header_mode=wire.ProcessingMode.SEND, response_body_mode=wire.ProcessingMode.BUFFERED
    ),
)
"""Answer to response headers: deliver the body, and hold it back until it is judged."""

CONTINUE_REQUEST_BODY: Final = wire.ProcessingResponse(request_body=wire.BodyResponse())
CONTINUE_RESPONSE_HEADERS: Final = wire.ProcessingResponse(response_headers=wire.HeadersResponse())


def copied(response: wire.ProcessingResponse) -> wire.ProcessingResponse:
    """Return one of the constants to be added to."""
    copy = wire.ProcessingResponse()
    copy.CopyFrom(response)
    return copy


def replace_request_body(body: bytes) -> wire.ProcessingResponse:
    """Answer a request body with the one that is to be sent, in chunks.

    Envoy keeps one header map for all tries, while each of them starts again from DECIDE's body. A length that is true of
    this body alone would come before a later try's; once there is none, every try's body tells its own end.
    """
    response = wire.ProcessingResponse()
    common = response.request_body.response
    common.body_mutation.body = body
    common.header_mutation.remove_headers.append(names.CONTENT_LENGTH)
    return response


def pass_on(headers: Headers) -> wire.ProcessingResponse:
    """Answer response headers: the answer goes on as it comes, with these headers."""
    response = wire.ProcessingResponse()
    response.response_headers.SetInParent()
    _set(response.response_headers.response.header_mutation, headers)
    return response


def release(headers: Headers, *, goes_on: bool, rejected: Sequence[int] = ()) -> wire.ProcessingResponse:
    """Answer a response body: let the held answer go, or ask for the plan's next attempt.

    Envoy may refuse that (its retry budget is spent, the request's time is over); the client then gets this answer,
    so that it is marked in any case.

    Args:
        headers: Marks.
        goes_on: True to ask for the next attempt.
        rejected: The plan's attempts whose answers were found wrong, for whoever serves that one.
    """
    response = wire.ProcessingResponse()
    response.response_body.SetInParent()
    mutation = response.response_body.response.header_mutation
    _set(mutation, headers)
    if goes_on:
        set_header(mutation.set_headers.add, names.RETRY, b"1")
        namespace = response.dynamic_metadata.fields[names.NEXT_NAMESPACE]
        write_rejected(namespace.struct_value.fields, rejected)
    return response


def name_next(response: wire.ProcessingResponse, naming: Naming) -> None:
    """Have Envoy make the next try at the named instance instead of the plan's next host."""
    namespace = response.dynamic_metadata.fields[names.NEXT_NAMESPACE]
    write_naming(namespace.struct_value.fields, naming)


def ask_for_time(seconds: float) -> wire.ProcessingResponse:
    """Ask Envoy to wait longer for the answer to its last message."""
    response = wire.ProcessingResponse()
    response.override_message_timeout.FromMilliseconds(max(1, round(seconds * 1000)))
    return response


def header_text(text: str) -> str:
    """Return a text as a header's value: as it is when it is printable ASCII, else percent-encoded."""
    return text if text.isascii() and text.isprintable() else quote(text)


def _set(mutation: wire.HeaderMutation, headers: Headers) -> None:
    for key, value in headers:
        set_header(mutation.set_headers.add, key, value.encode())
