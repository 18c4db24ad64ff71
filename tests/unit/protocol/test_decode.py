from __future__ import annotations

from typing import Any

import pytest

from extproc.protocol import names
from extproc.protocol.decode import (
    ResponseHead,
    header_value,
    request_head,
    response_head,
    subset_hint,
    upstream_address,
)
from extproc.protocol.wire import ext_proc_pb2 as wire


def header_map(*headers: tuple[str, bytes, str]) -> wire.HeaderMap:
    """Build headers from `(key, raw_value, value)`."""
    return wire.HeaderMap(
        headers=[wire.HeaderValue(key=key, raw_value=raw, value=value) for key, raw, value in headers]
    )


def test_the_head_is_read_from_headers() -> None:
    """Method, path, content type and request id come out; everything else is left alone."""
    head = request_head(
        header_map(
            (":method", b"POST", ""),
            (":path", b"/v1/completions?a=1", ""),
            ("content-type", b"application/json", ""),
            ("x-request-id", b"id-1", ""),
            ("authorization", b"Bearer secret", ""),
        )
    )

    assert ("POST", "/v1/completions?a=1", "application/json", "id-1") == (
        head.method,
        head.path,
        head.content_type,
        head.request_id,
    )


def test_raw_value_is_preferred_over_value() -> None:
    """Where a header has both, `raw_value` counts; where it has only `value`, that does."""
    head = request_head(header_map((":path", b"/raw", "/plain"), (":method", b"", "GET")))

    assert "/raw" == head.path
    assert "GET" == head.method


def test_header_names_are_compared_in_lower_case() -> None:
    """A proxy that keeps the client's capitals is understood."""
    headers = header_map(("X-Request-ID", b"id-1", ""), ("X-Custom", b"v", ""))

    assert "id-1" == request_head(headers).request_id
    assert "v" == header_value(headers, "x-custom")


def test_absent_headers_are_empty() -> None:
    """No header fails to be read, whatever its bytes."""
    assert "" == header_value(header_map(), ":status")
    assert "" == request_head(header_map()).request_id
    assert "/\xff" == request_head(header_map((":path", b"/\xff", ""))).path


@pytest.mark.parametrize(
    ("hint", "expected"),
    [
        (["10.0.0.1:8000", "10.0.0.2:8000"], {"10.0.0.1:8000", "10.0.0.2:8000"}),
        ("10.0.0.1:8000, 10.0.0.2:8000", {"10.0.0.1:8000", "10.0.0.2:8000"}),
        (["10.0.0.1:8000,10.0.0.2:8000", " 10.0.0.3 "], {"10.0.0.1:8000", "10.0.0.2:8000", "10.0.0.3"}),
        ([], set()),
        ("", set()),
        (" , ", set()),
        (7, set()),
        (None, set()),
    ],
)
def test_a_subset_hint_comes_as_list_or_string(hint: Any, expected: set[str]) -> None:
    """Lists, comma-separated strings and mixtures are read; a hint that names nobody is empty, never absent."""
    message = wire.ProcessingRequest()
    message.metadata_context.filter_metadata[names.SUBSET_NAMESPACE].update({names.SUBSET: hint})

    assert frozenset(expected) == subset_hint(message)


def test_without_a_hint_all_endpoints_may_serve() -> None:
    """No metadata, no namespace and no key all mean the same: no restriction."""
    bare = wire.ProcessingRequest()
    other_namespace = wire.ProcessingRequest()
    other_namespace.metadata_context.filter_metadata["envoy.lb"].update({names.SUBSET: "10.0.0.1"})
    other_key = wire.ProcessingRequest()
    other_key.metadata_context.filter_metadata[names.SUBSET_NAMESPACE].update({"other": "10.0.0.1"})

    assert [None, None, None] == [subset_hint(message) for message in (bare, other_namespace, other_key)]


def test_the_upstream_address_is_an_attribute() -> None:
    """It stands under the filter's name; where it was not asked for it is empty."""
    message = wire.ProcessingRequest()
    assert "" == upstream_address(message)
    message.attributes["envoy.filters.http.ext_proc"].update({"request.id": "1"})
    assert "" == upstream_address(message)
    message.attributes["envoy.filters.http.ext_proc"].update({"upstream.address": "10.0.0.1:8000"})

    assert "10.0.0.1:8000" == upstream_address(message)


def test_what_clients_ask_for_is_read() -> None:
    """Expectation, session, deadline and weights, as they were sent."""
    head = request_head(
        header_map(
            ("x-ttca-expect", b"exact:x", ""),
            ("X-TTCA-Session", b"s", ""),
            ("x-ttca-deadline-ms", b"7", ""),
            ("x-ttca-preset", b"cost", ""),
            ("x-ttca-weights", b"quality=1", ""),
        )
    )

    assert ("exact:x", "s", "7") == (head.expectation, head.session, head.deadline_ms)
    assert ("cost", "quality=1") == (head.preset, head.weights)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ((":status", b"200", ""), ResponseHead(status=200)),
        ((":status", b"x", ""), ResponseHead()),
        (("content-length", b"12", ""), ResponseHead(content_bytes=12)),
        (("content-length", b"-1", ""), ResponseHead()),
        (("content-encoding", b"identity", ""), ResponseHead()),
        (("content-encoding", b"br", ""), ResponseHead(is_encoded=True)),
        (
            ("content-type", b"Application/JSON; charset=utf-8", ""),
            ResponseHead(media_type="application/json", content_type="Application/JSON; charset=utf-8"),
        ),
    ],
)
def test_a_response_is_read(headers: tuple[str, bytes, str], expected: ResponseHead) -> None:
    """What cannot be read counts as absent."""
    assert expected == response_head(wire.HttpHeaders(headers=header_map(headers)))


def test_json_that_can_be_read() -> None:
    """Any JSON type, unless it is compressed."""
    assert ResponseHead(media_type="application/problem+json").is_json
    assert not ResponseHead(media_type="application/json", is_encoded=True).is_json
    assert not ResponseHead(media_type="application/jsonl").is_json
