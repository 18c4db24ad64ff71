"""Envoy's messages into plain values: what a request's headers, metadata and attributes say."""

from __future__ import annotations

from dataclasses import dataclass

from google.protobuf.struct_pb2 import Value

from extproc.protocol import names
from extproc.protocol.wire import ext_proc_pb2 as wire

_EXT_PROC_ATTRIBUTES = "envoy.filters.http.ext_proc"


@dataclass(frozen=True, slots=True)
class RequestHead:
    """What routing needs of a request's headers; each is empty when absent."""

    method: str
    path: str
    content_type: str
    request_id: str


def request_head(headers: wire.HeaderMap) -> RequestHead:
    """Read method, path, content type and request id; the last of several headers of one name wins."""
    method = path = content_type = request_id = b""
    for header in headers.headers:
        match header.key.lower():
            case ":method":
                method = header_bytes(header)
            case ":path":
                path = header_bytes(header)
            case "content-type":
                content_type = header_bytes(header)
            case names.REQUEST_ID:
                request_id = header_bytes(header)
    # Latin-1 maps every byte, so no header can fail to decode.
    return RequestHead(
        method.decode("latin-1"),
        path.decode("latin-1"),
        content_type.decode("latin-1"),
        request_id.decode("latin-1"),
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
