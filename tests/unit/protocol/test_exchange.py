from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from extproc.decide.plan import Plan
from extproc.errors import BadRequestError, BodyTooLargeError, NoInstanceError, ProtocolError
from extproc.facts.request import Api, RequestFacts
from extproc.facts.wish import Wish
from extproc.protocol import names
from extproc.protocol.exchange import DecideExchange
from extproc.protocol.wire import ext_proc_pb2 as wire

MakePlan = Callable[..., Plan]
MakeFacts = Callable[..., RequestFacts]
Make = Callable[..., wire.ProcessingRequest]
ReadHeaders = Callable[[wire.HeaderMutation], dict[str, str]]

Mode = wire.ProcessingMode


CONTINUE = wire.ProcessingResponse(request_headers=wire.HeadersResponse())


@pytest.fixture
def exchange() -> DecideExchange:
    """An exchange that collects up to 1000 bytes."""
    return DecideExchange(max_body_bytes=1000)


def test_a_buffered_request_takes_two_messages(
    exchange: DecideExchange,
    request_headers: Make,
    request_body: Make,
    make_plan: MakePlan,
    make_facts: MakeFacts,
) -> None:
    """Headers are let through at once; the body's answer carries the decision."""
    assert [] == exchange.receive(request_headers())
    assert [CONTINUE] == exchange.responses_to_send()

    (event,) = exchange.receive(request_body(b"{}"))
    assert ("POST", "/v1/chat/completions", "application/json", "request-1", b"{}", None) == (
        event.method,
        event.path,
        event.content_type,
        event.request_id,
        event.body,
        event.subset,
    )
    assert [] == exchange.responses_to_send()
    assert not exchange.is_done

    exchange.send(make_plan(), make_facts())
    (response,) = exchange.responses_to_send()
    assert "request_body" == response.WhichOneof("response")
    assert exchange.is_done
    assert "request-1" == exchange.request_id


def test_a_request_without_a_body_is_decided_on_its_headers(
    exchange: DecideExchange,
    request_headers: Make,
    make_plan: MakePlan,
    make_facts: MakeFacts,
    set_headers: ReadHeaders,
) -> None:
    """The decision rides on the one answer."""
    (event,) = exchange.receive(
        request_headers(end_of_stream=True, headers={":method": "GET", "content-type": None})
    )
    assert ("GET", "", b"") == (event.method, event.content_type, event.body)

    exchange.send(make_plan(), make_facts(api=Api.OTHER, model=None))

    (response,) = exchange.responses_to_send()
    common = response.request_headers.response
    assert "10.0.0.1:8000,10.0.0.2:8000" == set_headers(common.header_mutation)[names.DESTINATION]
    assert common.clear_route_cache
    assert exchange.is_done


def test_the_model_is_rewritten_where_the_plan_says_so(
    exchange: DecideExchange,
    request_headers: Make,
    request_body: Make,
    make_plan: MakePlan,
    make_facts: MakeFacts,
    set_headers: ReadHeaders,
) -> None:
    """The body goes out with the plan's model and its own length; the rest of it is as it came."""
    exchange.receive(request_headers())
    exchange.receive(request_body(b'{"model": "auto", "n": 1.50}'))

    exchange.send(make_plan(model="a-70b"), make_facts())

    common = exchange.responses_to_send()[-1].request_body.response
    assert b'{"model": "a-70b", "n": 1.50}' == common.body_mutation.body
    assert "29" == set_headers(common.header_mutation)[names.CONTENT_LENGTH]


def test_spoofed_headers_are_never_echoed(
    exchange: DecideExchange,
    request_headers: Make,
    request_body: Make,
    make_plan: MakePlan,
    make_facts: MakeFacts,
    set_headers: ReadHeaders,
) -> None:
    """A client's control headers appear in no answer; ours overwrite them."""
    spoofed: dict[str, str] = dict.fromkeys(
        (*names.CONTROL_HEADERS, names.MAX_RETRIES, names.CONTENT_LENGTH), "evil:666"
    )
    exchange.receive(request_headers(headers=spoofed))
    exchange.receive(request_body())
    exchange.send(make_plan(), make_facts())

    responses = exchange.responses_to_send()

    assert all(b"evil" not in response.SerializeToString() for response in responses)
    assert (
        "10.0.0.1:8000,10.0.0.2:8000"
        == set_headers(responses[-1].request_body.response.header_mutation)[names.DESTINATION]
    )


def test_a_subset_hint_reaches_the_caller(
    exchange: DecideExchange, request_headers: Make, request_body: Make
) -> None:
    """The hint comes with the headers and is handed on with the body."""
    message = request_headers()
    message.metadata_context.filter_metadata[names.SUBSET_NAMESPACE].update({names.SUBSET: []})
    exchange.receive(message)

    (event,) = exchange.receive(request_body())

    assert frozenset() == event.subset


def test_a_refusal_ends_the_exchange(
    exchange: DecideExchange, request_headers: Make, request_body: Make
) -> None:
    """The client is answered in the instances' stead."""
    exchange.receive(request_headers())
    exchange.receive(request_body())

    exchange.reject(NoInstanceError("nobody", reason="no-instance"))

    assert 503 == exchange.responses_to_send()[-1].immediate_response.status.code
    assert exchange.is_done


def test_a_buffered_body_before_trailers_is_whole(
    exchange: DecideExchange, request_headers: Make, request_body: Make
) -> None:
    """Envoy leaves end_of_stream to the trailers, which it may never send."""
    exchange.receive(request_headers())

    (event,) = exchange.receive(request_body(b"{}", end_of_stream=False))

    assert b"{}" == event.body


@pytest.mark.parametrize("is_answered", [False, True])
def test_what_comes_after_the_end_is_ignored(
    exchange: DecideExchange,
    request_headers: Make,
    request_body: Make,
    make_plan: MakePlan,
    make_facts: MakeFacts,
    is_answered: bool,
) -> None:
    """A body that is delivered twice and trailers change nothing and get no answer."""
    exchange.receive(request_headers())
    exchange.receive(request_body(b'{"model": "auto"}'))
    if is_answered:
        exchange.send(make_plan(), make_facts())
    exchange.responses_to_send()

    assert [] == exchange.receive(request_body(b"again"))
    assert [] == exchange.receive(wire.ProcessingRequest(request_trailers=wire.HttpTrailers()))
    assert [] == exchange.responses_to_send()

    if not is_answered:
        exchange.send(make_plan(model="a"), make_facts())
        (response,) = exchange.responses_to_send()
        assert {"model": "a"} == json.loads(response.request_body.response.body_mutation.body)


@pytest.mark.parametrize("ending", ["last chunk", "empty last chunk", "trailers"])
def test_a_duplex_body_is_collected_and_sent_back(
    exchange: DecideExchange,
    request_headers: Make,
    request_body: Make,
    make_plan: MakePlan,
    make_facts: MakeFacts,
    ending: str,
) -> None:
    """The headers wait for the whole body, and the body goes back rewritten."""
    assert [] == exchange.receive(request_headers(mode=Mode.FULL_DUPLEX_STREAMED))
    assert [] == exchange.receive(request_body(b'{"model":', end_of_stream=False))
    assert [] == exchange.responses_to_send()
    if ending == "last chunk":
        (event,) = exchange.receive(request_body(b'"auto"}'))
    else:
        assert [] == exchange.receive(request_body(b'"auto"}', end_of_stream=False))
        last = (
            request_body(b"")
            if ending == "empty last chunk"
            else wire.ProcessingRequest(request_trailers=wire.HttpTrailers())
        )
        (event,) = exchange.receive(last)
    assert b'{"model":"auto"}' == event.body

    exchange.send(make_plan(model="a"), make_facts())

    kinds = [response.WhichOneof("response") for response in exchange.responses_to_send()]
    assert [
        "request_headers",
        "request_body",
        *(["request_trailers"] if ending == "trailers" else []),
    ] == kinds


def test_an_unchanged_duplex_body_goes_back_too(
    exchange: DecideExchange,
    request_headers: Make,
    request_body: Make,
    make_plan: MakePlan,
    make_facts: MakeFacts,
) -> None:
    """Envoy keeps no copy in this mode."""
    exchange.receive(request_headers(mode=Mode.FULL_DUPLEX_STREAMED))
    exchange.receive(request_body(b"{}"))

    exchange.send(make_plan(), make_facts())

    streamed = exchange.responses_to_send()[-1].request_body.response.body_mutation.streamed_response
    assert (b"{}", True) == (streamed.body, streamed.end_of_stream)


def test_each_streamed_chunk_is_answered(
    exchange: DecideExchange,
    request_headers: Make,
    request_body: Make,
    make_plan: MakePlan,
    make_facts: MakeFacts,
) -> None:
    """In mode STREAMED Envoy wants as many answers as it sent messages, the headers' first."""
    exchange.receive(request_headers(mode=Mode.STREAMED, is_waiting=False))
    exchange.receive(request_body(b'{"model":', end_of_stream=False))
    exchange.receive(request_body(b'"auto"}', end_of_stream=False))
    exchange.receive(wire.ProcessingRequest(request_trailers=wire.HttpTrailers()))

    exchange.send(make_plan(model="a"), make_facts())

    responses = exchange.responses_to_send()
    assert ["request_headers", "request_body", "request_body", "request_trailers"] == [
        response.WhichOneof("response") for response in responses
    ]
    assert b'{"model":"a"}' == responses[1].request_body.response.body_mutation.body


def test_a_collected_body_has_a_limit(
    exchange: DecideExchange, request_headers: Make, request_body: Make
) -> None:
    """The chunk that exceeds it raises, and the client gets 413."""
    exchange.receive(request_headers(mode=Mode.FULL_DUPLEX_STREAMED))
    exchange.receive(request_body(b"x" * 600, end_of_stream=False))

    with pytest.raises(BodyTooLargeError) as raised:
        exchange.receive(request_body(b"x" * 600, end_of_stream=False))
    exchange.reject(raised.value)

    (response,) = exchange.responses_to_send()
    assert 413 == response.immediate_response.status.code


def test_a_mode_without_bodies_is_decided_on_headers(exchange: DecideExchange, request_headers: Make) -> None:
    """Where the filter never sends a body, none is waited for."""
    (event,) = exchange.receive(request_headers(mode=Mode.NONE))

    assert b"" == event.body


def test_without_a_declared_mode_the_body_is_buffered(
    exchange: DecideExchange, request_headers: Make
) -> None:
    """A gateway that sends no protocol configuration gets the usual answer."""
    exchange.receive(request_headers(mode=None))

    assert [CONTINUE] == exchange.responses_to_send()


def test_what_clients_ask_for_comes_with_the_request(
    exchange: DecideExchange, request_headers: Make, request_body: Make
) -> None:
    """Expectation and session as they are, the deadline in seconds."""
    wishes = {names.EXPECT: "exact:x", names.SESSION: "s", names.DEADLINE: "1500", names.PRESET: "cost"}
    exchange.receive(request_headers(headers=wishes))
    (event,) = exchange.receive(request_body(b"{}"))

    assert ("exact:x", "s", 1.5) == (event.expectation, event.session, event.deadline_seconds)
    assert Wish(preset="cost") == event.wish


@pytest.mark.parametrize("header", [{names.DEADLINE: "soon"}, {names.WEIGHTS: "all"}, {names.PRESET: "x"}])
def test_a_malformed_wish_can_be_refused(
    exchange: DecideExchange, request_headers: Make, request_body: Make, header: dict[str, str]
) -> None:
    """The request is complete all the same, so that the client can be told."""
    exchange.receive(request_headers(headers=header))
    with pytest.raises(BadRequestError) as raised:
        exchange.receive(request_body(b"{}"))
    exchange.reject(raised.value)

    assert exchange.is_done


def test_a_request_can_be_replied_to(
    exchange: DecideExchange, request_headers: Make, request_body: Make
) -> None:
    """Without a plan and without an error."""
    exchange.receive(request_headers())
    exchange.receive(request_body(b"{}"))
    exchange.responses_to_send()
    exchange.reply(202, {})
    (response,) = exchange.responses_to_send()

    assert 202 == response.immediate_response.status.code
    assert exchange.is_done


@pytest.mark.parametrize("mode", [Mode.STREAMED, Mode.BUFFERED_PARTIAL, Mode.GRPC])
def test_a_mode_in_which_no_decision_can_work_is_an_error(
    exchange: DecideExchange, request_headers: Make, mode: int
) -> None:
    """Headers that have gone on cannot be changed, and half a body cannot be read."""
    with pytest.raises(ProtocolError, match="request_body_mode"):
        exchange.receive(request_headers(mode=mode))


def test_a_response_on_a_decide_stream_is_an_error(exchange: DecideExchange, response_headers: Make) -> None:
    """Neither a response without a request nor an empty message is guessed about."""
    with pytest.raises(ProtocolError, match="response_headers"):
        exchange.receive(response_headers())
    with pytest.raises(ProtocolError, match="empty message"):
        exchange.receive(wire.ProcessingRequest())


def test_an_answer_before_the_request_is_an_error(
    exchange: DecideExchange, make_plan: MakePlan, make_facts: MakeFacts
) -> None:
    """Nothing is sent for it."""
    with pytest.raises(ProtocolError):
        exchange.send(make_plan(), make_facts())
    with pytest.raises(ProtocolError):
        exchange.reject(NoInstanceError("nobody", reason="no-instance"))

    assert [] == exchange.responses_to_send()
