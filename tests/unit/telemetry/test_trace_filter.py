from __future__ import annotations

from typing import Any

import pytest

from extproc.telemetry.trace_filter import TraceFilter

ID = "ddc3e00c-2d9c-9f0b-a8f5-a590d2653517"
SPANS: list[dict[str, Any]] = [
    {"component": "proxy", "guid:x-request-id": ID, "http.status_code": "200"},
    {"component": "proxy", "http.status_code": "503"},
    {"ttca.attempt.verdict": "rejected"},
    {"ttca.attempt.verdict": "accepted"},
]
"""A request whose first try failed, whose second answer was rejected and whose third passed."""


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, True),
        ({"request": ID}, True),
        ({"request": "ddc3e00c"}, True),
        ({"request": "DDC3"}, True),
        ({"request": "e00c"}, False),
        ({"status": "200"}, True),
        ({"status": "503"}, True),
        ({"status": "5xx"}, True),
        ({"status": "4xx"}, False),
        ({"status": "504"}, False),
        ({"verdict": "rejected"}, True),
        ({"verdict": "unverified"}, False),
        ({"request": "ddc3", "status": "5xx", "verdict": "accepted"}, True),
        ({"request": "ddc3", "status": "404"}, False),
    ],
)
def test_a_trace_must_have_all_that_is_asked(asked: dict[str, str], expected: bool) -> None:
    """Each of them on some span: the answer's or a try's."""
    assert expected is TraceFilter(**asked).matches(SPANS)


def test_the_services_own_attributes_count_too() -> None:
    """While Envoy's spans are under way, its id and status stand on ours."""
    ours: dict[str, Any] = {"ttca.request_id": ID, "http.response.status_code": 429}

    assert TraceFilter(request="ddc3", status="4xx").matches([ours])
    assert TraceFilter(status="429").matches([ours])


@pytest.mark.parametrize(
    ("asked", "complaint"),
    [
        ({"status": "20"}, "status='20': expected a status like 503, or a class like 5xx"),
        ({"status": "9xx"}, "expected a status like"),
        ({"verdict": "wrong"}, "verdict='wrong': expected one of accepted, rejected, unverified"),
        ({"request": "x" * 200}, "request has 200 characters, expected the beginning"),
    ],
)
def test_what_no_trace_can_have_is_refused(asked: dict[str, str], complaint: str) -> None:
    """Nobody waits for a trace of a misspelt verdict."""
    with pytest.raises(ValueError, match=complaint):
        TraceFilter(**asked)
