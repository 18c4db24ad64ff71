"""Envoy's messages into plain values: what a request's headers, metadata and attributes say."""

from __future__ import annotations

from dataclasses import dataclass

from google.protobuf.struct_pb2 import Value

from extproc.protocol import names
from extproc.protocol.wire import ext_proc_pb2 as wire

_EXT_PROC_ATTRIBUTES = "envoy.filters.http.ext_proc"


@dataclass(slots=True)
class RequestHead:
    """What routing needs of a request's headers; each is empty when absent.

    Attributes:
        method: HTTP method.
        path: Path with its query.
        content_type: As the client sent it.
        request_id: Envoy's `x-request-id`.
        expectation: `x-ttca-expect`.
        session: `x-ttca-session`.
        deadline_ms: `x-ttca-deadline-ms`.
        preset: `x-ttca-preset`.
        weights: `x-ttca-weights`.
        unknown: Name of the first header that begins like ours and is none; the others pass.
    """

    method: str = ""
    path: str = ""
    content_type: str = ""
    request_id: str = ""
    expectation: str = ""
    session: str = ""
    deadline_ms: str = ""
    preset: str = ""
    weights: str = ""
    unknown: str = ""


_PREFIX = "x-ttca-"
_OVERWRITTEN = frozenset((*names.CONTROL_HEADERS, *names.ANSWER_HEADERS))
"""Stripped by our own Envoy; from another one they come to nothing."""

_HEAD_FIELDS = {
    ":method": "method",
    ":path": "path",
    "content-type": "content_type",
    names.REQUEST_ID: "request_id",
    names.EXPECT: "expectation",
    names.SESSION: "session",
    names.DEADLINE: "deadline_ms",
    names.PRESET: "preset",
    names.WEIGHTS: "weights",
}


def request_head(headers: wire.HeaderMap) -> RequestHead:
    """Read the headers that routing needs; the last of several of one name wins."""
    head = RequestHead()
    for header in headers.headers:
        key = header.key.lower()
        field = _HEAD_FIELDS.get(key)
        if field is None:
            if key.startswith(_PREFIX) and key not in _OVERWRITTEN and not head.unknown:
                head.unknown = key
        else:
            # Latin-1 maps every byte, so no header can fail to decode.
            setattr(head, field, header_bytes(header).decode("latin-1"))
    return head


@dataclass(frozen=True, slots=True)
class ResponseHead:
    """What judging needs of a response's headers.

    Attributes:
        status: HTTP status; 0 when it is no number.
        media_type: Content type in lower case, without parameters; empty when absent.
        content_type: As the instance sent it.
        content_bytes: Declared length of the body; None when it was not declared.
        is_encoded: True when the body is compressed.
        is_without_body: True when no body follows.
    """

    status: int = 0
    media_type: str = ""
    content_type: str = ""
    content_bytes: int | None = None
    is_encoded: bool = False
    is_without_body: bool = False

    @property
    def is_success(self) -> bool:
        """True for 200 to 299."""
        return 200 <= self.status < 300

    @property
    def is_json(self) -> bool:
        """True for plain JSON that can be read as it is."""
        is_named_json = self.media_type == "application/json" or self.media_type.endswith("+json")
        return is_named_json and not self.is_encoded


def response_head(message: wire.HttpHeaders) -> ResponseHead:
    """Read status, type, length and encoding of a response."""
    status = header_value(message.headers, ":status")
    content_type = header_value(message.headers, "content-type")
    length = header_value(message.headers, names.CONTENT_LENGTH)
    return ResponseHead(
        status=int(status) if status.isdecimal() else 0,
        media_type=content_type.partition(";")[0].strip().lower(),
        content_type=content_type,
        content_bytes=int(length) if length.isdecimal() else None,
        is_encoded=header_value(message.headers, "content-encoding").lower() not in ("", "identity"),
        is_without_body=message.end_of_stream,
    )


def header_bytes(header: wire.HeaderValue) -> bytes:
    """Return the header's value; Envoy fills `raw_value`, and `value` only where it was told to."""
    return header.raw_value or header.value.encode()


def header_value(headers: wire.HeaderMap, name: str) -> str:
    """Return the value of the first header called `name` (lower case); empty when absent."""
    for header in headers.headers:
        if header.key.lower() == name:
            return header_bytes(header).decode("latin-1")
    return ""


def subset_hint(message: wire.ProcessingRequest) -> frozenset[str] | None:
    """Return the only endpoints that may be picked (protocol 004), each `ip:port` or `ip` for any of its ports.

    None when the gateway gave no hint; empty when it gave one that names nobody. The hint is a list or a string,
    and either may hold several entries separated by commas.
    """
    if not message.HasField("metadata_context"):
        return None
    namespace = message.metadata_context.filter_metadata.get(names.SUBSET_NAMESPACE)
    if namespace is None:
        return None
    hint = namespace.fields.get(names.SUBSET)
    if hint is None:
        return None
    values: list[Value] = list(hint.list_value.values) if hint.HasField("list_value") else [hint]
    entries = (entry.strip() for value in values for entry in value.string_value.split(","))
    return frozenset(entry for entry in entries if entry)


def upstream_address(message: wire.ProcessingRequest) -> str:
    """Return the `ip:port` of this try's instance; empty when Envoy was not told to send it."""
    attributes = message.attributes.get(_EXT_PROC_ATTRIBUTES)
    if attributes is None:
        return ""
    address = attributes.fields.get(names.ATTRIBUTE_UPSTREAM_ADDRESS)
    return address.string_value if address is not None else ""
