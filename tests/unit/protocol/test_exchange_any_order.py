from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from extproc.decide.plan import Plan
from extproc.errors import BodyTooLargeError, NoInstanceError, ProtocolError
from extproc.facts.request import RequestFacts
from extproc.protocol.exchange import DecideExchange
from extproc.protocol.wire import ext_proc_pb2 as wire

MakePlan = Callable[..., Plan]
MakeFacts = Callable[..., RequestFacts]
Make = Callable[..., wire.ProcessingRequest]
ReadHeaders = Callable[[wire.HeaderMutation], dict[str, str]]

Mode = wire.ProcessingMode


DECIDE_STEPS = st.sampled_from(
    [
        "headers",
        "headers alone",
        "duplex headers",
        "streamed headers",
        "partial headers",
        "chunk",
        "last chunk",
        "big chunk",
        "trailers",
        "response headers",
        "response body",
        "nothing",
        "send",
        "rewrite",
        "reject",
    ]
)


# The builders keep no state from one example to the next.
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(DECIDE_STEPS, max_size=8))
def test_any_sequence_is_answered_or_refused(
    steps: list[str],
    make_plan: MakePlan,
    make_facts: MakeFacts,
    decide_messages: dict[str, wire.ProcessingRequest],
) -> None:
    """Whatever comes, and whatever the caller does, the answers are legal or the call raises `ProtocolError`.

    Legal: an immediate response is the last; headers are answered once, before any body; no more bodies are
    answered than came, but in duplex mode; nothing follows the end.
    """
    exchange = DecideExchange(max_body_bytes=100)
    answered: list[str] = []
    bodies = 0
    request = b""
    for step in steps:
        was_done = exchange.is_done
        try:
            match step:
                case "send" | "rewrite":
                    # Only a body that was understood gets a plan with a model of its own.
                    is_rewritten = step == "rewrite" and request == b'{"model": "auto"}'
                    exchange.send(make_plan(model="a" if is_rewritten else None), make_facts())
                case "reject":
                    exchange.reject(NoInstanceError("nobody", reason="no-instance"))
                case _:
                    bodies += "chunk" in step
                    for event in exchange.receive(decide_messages[step]):
                        request = event.body
        except (ProtocolError, BodyTooLargeError):
            continue
        answers = [str(response.WhichOneof("response")) for response in exchange.responses_to_send()]
        assert not (was_done and answers)
        answered += answers

    assert "immediate_response" not in answered[:-1]
    assert answered.count("request_headers") <= 1
    assert answered.count("request_body") <= bodies + 1
    if "request_body" in answered:
        assert "request_headers" == answered[0]


@pytest.fixture(scope="module")
def decide_messages() -> dict[str, wire.ProcessingRequest]:
    """One message for each of the steps that Envoy could take."""

    def headers(mode: Any, *, end_of_stream: bool = False) -> wire.ProcessingRequest:
        return wire.ProcessingRequest(
            request_headers=wire.HttpHeaders(end_of_stream=end_of_stream),
            protocol_config=wire.ProtocolConfiguration(
                request_body_mode=mode, send_body_without_waiting_for_header_response=True
            ),
        )

    def body(content: bytes, *, end_of_stream: bool) -> wire.ProcessingRequest:
        return wire.ProcessingRequest(request_body=wire.HttpBody(body=content, end_of_stream=end_of_stream))

    return {
        "headers": headers(Mode.BUFFERED),
        "headers alone": headers(Mode.BUFFERED, end_of_stream=True),
        "duplex headers": headers(Mode.FULL_DUPLEX_STREAMED),
        "streamed headers": headers(Mode.STREAMED),
        "partial headers": headers(Mode.BUFFERED_PARTIAL),
        "chunk": body(b'{"model": "auto"}', end_of_stream=False),
        "last chunk": body(b"", end_of_stream=True),
        "big chunk": body(b" " * 200, end_of_stream=False),
        "trailers": wire.ProcessingRequest(request_trailers=wire.HttpTrailers()),
        "response headers": wire.ProcessingRequest(response_headers=wire.HttpHeaders()),
        "response body": wire.ProcessingRequest(response_body=wire.HttpBody(body=b"x")),
        "nothing": wire.ProcessingRequest(),
    }
