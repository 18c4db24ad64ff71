from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.decide.attempts import CarriedAttempt, Following
from extproc.errors import ProtocolError
from extproc.protocol import names
from extproc.protocol.attempt_exchange import AttemptExchange
from extproc.protocol.wire import ext_proc_pb2 as wire
from extproc.verify.verdict import Verdict, VerdictKind

Make = Callable[..., wire.ProcessingRequest]


NOW_UNIX_MS = 5_000


PLAN = (
    "2;api=chat_completions;retries=2;verify=1;spec=1;start=3500;ability=0.5,1"
    ";try=10.0.0.1:8000|a|0.6||o;try=10.0.0.2:8000|a|||;try=10.0.0.3:8000|b|0.3|50|"
)


REJECTED = Verdict(VerdictKind.REJECTED, "expectation.not-met", "secret detail")


CHAT = b'{"model":"a","messages":[]}' + b" " * 40


OVERFLOW = b'{"error": {"message": "This model\'s maximum context length is 8 tokens.", "code": 400}}'


@given(data=st.data())
def test_any_sequence_is_answered_or_refused(data: st.DataObject, attempt_messages: list[Any]) -> None:
    """Each message gets at most one answer of its own kind, or an error that fails the stream; nothing else is raised."""
    exchange = AttemptExchange(max_answer_bytes=1000)
    for message in data.draw(st.lists(st.sampled_from(attempt_messages), max_size=8)):
        kind = message.WhichOneof("request")
        try:
            ready = exchange.receive(message, NOW_UNIX_MS)
        except (ProtocolError, ValueError):
            continue
        if ready is not None:
            named = Following(attempt=CarriedAttempt(address="10.0.0.9:8000", model="b"), position=2)
            following = None if exchange.is_last else named
            exchange.conclude(REJECTED, following, now_unix_ms=NOW_UNIX_MS)
        responses = exchange.responses_to_send()
        assert len(responses) <= 1
        assert all(kind == response.WhichOneof("response") for response in responses)


@pytest.fixture(scope="module")
def attempt_messages() -> list[wire.ProcessingRequest]:
    """One message of every kind and meaning that an ATTEMPT stream could carry."""
    limited = wire.ProcessingRequest()
    limited.request_headers.headers.headers.add(key=names.ATTEMPT_LIMITS, raw_value=b"1;overflow=a:1")
    limited.attributes["envoy.filters.http.ext_proc"].update({names.ATTRIBUTE_UPSTREAM_ADDRESS: "a:1"})
    planned = wire.ProcessingRequest()
    planned.request_headers.headers.headers.add(key=names.ATTEMPT_LIMITS, raw_value=PLAN.encode())
    planned.attributes["envoy.filters.http.ext_proc"].update(
        {names.ATTRIBUTE_UPSTREAM_ADDRESS: "10.0.0.3:8000"}
    )
    messages = [
        wire.ProcessingRequest(),
        limited,
        planned,
        wire.ProcessingRequest(request_body=wire.HttpBody(body=CHAT)),
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
        add = message.response_headers.headers.headers.add
        for key, value in (
            (":status", status),
            ("content-type", b"application/json"),
            ("content-length", b"9"),
        ):
            add(key=key, raw_value=value)
        messages.append(message)
    return messages
