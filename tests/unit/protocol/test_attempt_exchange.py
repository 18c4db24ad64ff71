from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.errors import ProtocolError
from extproc.protocol import names
from extproc.protocol.attempt_exchange import AttemptExchange
from extproc.protocol.wire import ext_proc_pb2 as wire

Make = Callable[..., wire.ProcessingRequest]

OVERFLOW = b'{"error": {"message": "This model\'s maximum context length is 8 tokens.", "code": 400}}'
OTHER_ERROR = b'{"error": {"message": "top_p must be in (0, 1], got 2.", "code": 400}}'


def answer(exchange: AttemptExchange, message: wire.ProcessingRequest) -> wire.ProcessingResponse:
    """Feed one message and return the one answer to it."""
    exchange.receive(message)
    (response,) = exchange.responses_to_send()
    return response


@pytest.fixture
def watching(attempt_headers: Make) -> AttemptExchange:
    """An exchange of a try whose context-length rejection is to be retried."""
    exchange = AttemptExchange()
    answer(exchange, attempt_headers())
    return exchange


def test_an_overflow_asks_for_the_next_instance(
    watching: AttemptExchange,
    response_headers: Make,
    response_body: Make,
    set_headers: Callable[..., dict[str, str]],
) -> None:
    """The 400 is held back, its body judged, and the retry header added."""
    held = answer(watching, response_headers(400))
    assert wire.ProcessingMode.BUFFERED == held.mode_override.response_body_mode
    assert wire.ProcessingMode.SEND == held.mode_override.response_header_mode
    assert not watching.is_done

    judged = answer(watching, response_body(OVERFLOW))

    assert {names.RETRY: "1"} == set_headers(judged.response_body.response.header_mutation)
    assert watching.is_done


def test_another_rejection_goes_to_the_client(
    watching: AttemptExchange, response_headers: Make, response_body: Make
) -> None:
    """A 400 for another reason passes untouched."""
    answer(watching, response_headers(400))

    judged = answer(watching, response_body(OTHER_ERROR))

    assert wire.ProcessingResponse(response_body=wire.BodyResponse()) == judged
    assert watching.is_done


@pytest.mark.parametrize("status", [200, 404, 413, 500, 503])
def test_any_other_status_is_not_held_back(
    watching: AttemptExchange, response_headers: Make, status: int
) -> None:
    """Its headers go on at once and no body is asked for."""
    response = answer(watching, response_headers(status))

    assert wire.ProcessingResponse(response_headers=wire.HeadersResponse()) == response
    assert watching.is_done


def test_a_rejection_without_a_body_is_passed_on(watching: AttemptExchange, response_headers: Make) -> None:
    """There is nothing to judge, and a body that never comes is not waited for."""
    response = answer(watching, response_headers(400, end_of_stream=True))

    assert not response.HasField("mode_override")
    assert watching.is_done


@pytest.mark.parametrize(
    ("address", "limits"),
    [
        ("10.0.0.1:8000", None),
        ("10.0.0.1:8000", ""),
        ("10.0.0.1:8000", "1;overflow=10.0.0.2:8000"),
        ("10.0.0.1:8000", "9;overflow=10.0.0.1:8000"),
        ("", "1;overflow=10.0.0.1:8000"),
        ("", "1;overflow="),
    ],
)
def test_a_try_without_limits_is_done_at_once(
    attempt_headers: Make, address: str, limits: str | None
) -> None:
    """Its headers go on untouched, and nothing of the answer is asked for."""
    exchange = AttemptExchange()

    response = answer(exchange, attempt_headers(address, limits))

    assert wire.ProcessingResponse(request_headers=wire.HeadersResponse()) == response
    assert exchange.is_done


def test_answers_are_handed_out_once(attempt_headers: Make) -> None:
    """A second call returns nothing."""
    exchange = AttemptExchange()
    exchange.receive(attempt_headers())
    exchange.responses_to_send()

    assert [] == exchange.responses_to_send()


def test_a_body_before_its_headers_is_an_error(response_body: Make) -> None:
    """The stream is to be failed, not guessed about."""
    with pytest.raises(ProtocolError):
        AttemptExchange().receive(response_body(OVERFLOW))


@given(data=st.data())
def test_any_sequence_is_answered_or_refused(data: st.DataObject, attempt_messages: list[Any]) -> None:
    """Each message gets at most one answer of its own kind, or a `ProtocolError`; nothing else is raised."""
    exchange = AttemptExchange()
    for message in data.draw(st.lists(st.sampled_from(attempt_messages), max_size=6)):
        kind = message.WhichOneof("request")
        try:
            exchange.receive(message)
        except ProtocolError:
            continue
        responses = exchange.responses_to_send()
        assert len(responses) <= 1
        assert all(kind == response.WhichOneof("response") for response in responses)


@pytest.fixture(scope="module")
def attempt_messages() -> list[wire.ProcessingRequest]:
    """One message of every kind and meaning that an ATTEMPT stream could carry."""
    limited = wire.ProcessingRequest()
    limited.request_headers.headers.headers.add(key=names.ATTEMPT_LIMITS, raw_value=b"1;overflow=a:1")
    limited.attributes["envoy.filters.http.ext_proc"].update({names.ATTRIBUTE_UPSTREAM_ADDRESS: "a:1"})
    messages = [
        wire.ProcessingRequest(),
        limited,
        wire.ProcessingRequest(request_headers=wire.HttpHeaders()),
        wire.ProcessingRequest(request_body=wire.HttpBody(body=b"x")),
        wire.ProcessingRequest(request_trailers=wire.HttpTrailers()),
        wire.ProcessingRequest(response_trailers=wire.HttpTrailers()),
        wire.ProcessingRequest(response_body=wire.HttpBody(body=OVERFLOW)),
        wire.ProcessingRequest(response_body=wire.HttpBody(body=b"\xff")),
        wire.ProcessingRequest(response_headers=wire.HttpHeaders()),
    ]
    for status in (b"200", b"400", b"x"):
        message = wire.ProcessingRequest()
        message.response_headers.headers.headers.add(key=":status", raw_value=status)
        messages.append(message)
    return messages
