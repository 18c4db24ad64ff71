from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from extproc.decide.attempts import CarriedSpec
from extproc.decide.plan import Plan
from extproc.errors import (
    BadRequestError,
    BodyTooLargeError,
    ModelNotFoundError,
    NoInstanceError,
    RoutingError,
)
from extproc.facts.request import RequestFacts
from extproc.protocol import names
from extproc.protocol.attempt_plan import decode_attempt_plan
from extproc.protocol.encode import (
    MAX_CHUNK_BYTES,
    decision_on_body,
    decision_on_chunks,
    decision_on_duplex,
    decision_on_headers,
    refusal,
    reply,
)
from extproc.protocol.wire import ext_proc_pb2 as wire

MakePlan = Callable[..., Plan]
MakeFacts = Callable[..., RequestFacts]
ReadHeaders = Callable[[wire.HeaderMutation], dict[str, str]]

HOSTS = "10.0.0.1:8000,10.0.0.2:8000"


def test_a_plan_becomes_headers(make_plan: MakePlan, make_facts: MakeFacts, set_headers: ReadHeaders) -> None:
    """Hosts, cluster, id, retries and timeout are set; nothing that the plan leaves open is."""
    common = decision_on_body(make_plan(), make_facts(), None).request_body.response

    assert {
        names.DESTINATION: HOSTS,
        names.CLUSTER: "a-short",
        names.DECISION_ID: "decision-1",
        names.MAX_RETRIES: "1",
        names.TIMEOUT: "30000",
    } == set_headers(common.header_mutation)
    assert common.clear_route_cache
    assert not common.HasField("body_mutation")


def test_the_optional_parts_of_a_plan_become_headers(
    make_plan: MakePlan, make_facts: MakeFacts, set_headers: ReadHeaders
) -> None:
    """A per-try timeout and overflow addresses appear where the plan has them."""
    plan = make_plan(per_try_timeout_seconds=1.5, overflow_addresses=("10.0.0.1:8000",))

    headers = set_headers(decision_on_body(plan, make_facts(), None).request_body.response.header_mutation)

    assert "1500" == headers[names.PER_TRY_TIMEOUT]
    assert "1;overflow=10.0.0.1:8000" == headers[names.ATTEMPT_LIMITS]


@pytest.mark.parametrize(
    ("seconds", "expected"), [(0.0, "1"), (0.0001, "1"), (1.0001, "1001"), (60.0, "60000")]
)
def test_a_timeout_is_never_zero(
    make_plan: MakePlan, make_facts: MakeFacts, set_headers: ReadHeaders, seconds: float, expected: str
) -> None:
    """Envoy reads 0 ms as no timeout, so timeouts are rounded up."""
    response = decision_on_headers(make_plan(timeout_seconds=seconds), make_facts())

    assert expected == set_headers(response.request_headers.response.header_mutation)[names.TIMEOUT]


def test_header_and_metadata_name_the_same_hosts(make_plan: MakePlan, make_facts: MakeFacts) -> None:
    """Protocol 004 demands both, equal."""
    response = decision_on_body(make_plan(), make_facts(), None)

    metadata: dict[str, Any] = dict(response.dynamic_metadata)
    assert {names.LB_NAMESPACE, names.DECISION_NAMESPACE} == set(metadata)
    assert HOSTS == metadata[names.LB_NAMESPACE][names.DESTINATION]
    assert "decision-1" == metadata[names.DECISION_NAMESPACE]["decision_id"]


def test_a_new_body_comes_with_its_length(
    make_plan: MakePlan, make_facts: MakeFacts, set_headers: ReadHeaders
) -> None:
    """The content length is that of the body that is sent."""
    common = decision_on_body(make_plan(), make_facts(), b'{"model": "a"}').request_body.response

    assert b'{"model": "a"}' == common.body_mutation.body
    assert "14" == set_headers(common.header_mutation)[names.CONTENT_LENGTH]


def test_every_chunk_gets_one_answer(make_plan: MakePlan, make_facts: MakeFacts) -> None:
    """A new body goes out in place of the first chunk; the others are emptied."""
    head, *bodies = decision_on_chunks(make_plan(), make_facts(), b"new", 3)

    assert "request_headers" == head.WhichOneof("response")
    assert [b"new", b"", b""] == [response.request_body.response.body_mutation.body for response in bodies]
    assert [False, True, True] == [
        response.request_body.response.body_mutation.clear_body for response in bodies
    ]


def test_unchanged_chunks_are_passed_on(make_plan: MakePlan, make_facts: MakeFacts) -> None:
    """Without a new body no chunk is touched."""
    _, *bodies = decision_on_chunks(make_plan(), make_facts(), None, 2)

    assert [wire.ProcessingResponse(request_body=wire.BodyResponse())] * 2 == bodies


@pytest.mark.parametrize(
    ("size", "sizes"),
    [
        (0, [0]),
        (1, [1]),
        (MAX_CHUNK_BYTES - 1, [MAX_CHUNK_BYTES - 1]),
        (MAX_CHUNK_BYTES, [MAX_CHUNK_BYTES]),
        (MAX_CHUNK_BYTES + 1, [MAX_CHUNK_BYTES, 1]),
        (3 * MAX_CHUNK_BYTES, [MAX_CHUNK_BYTES] * 3),
    ],
)
def test_a_duplex_body_goes_back_in_chunks(
    make_plan: MakePlan, make_facts: MakeFacts, size: int, sizes: list[int]
) -> None:
    """No chunk exceeds the limit, none is lost, and the last one alone ends the stream."""
    body = bytes(range(256)) * (size // 256 + 1)

    head, *bodies = decision_on_duplex(make_plan(), make_facts(), body[:size], has_trailers=False)

    chunks = [response.request_body.response.body_mutation.streamed_response for response in bodies]
    assert "request_headers" == head.WhichOneof("response")
    assert sizes == [len(chunk.body) for chunk in chunks]
    assert body[:size] == b"".join(chunk.body for chunk in chunks)
    assert [False] * (len(chunks) - 1) + [True] == [chunk.end_of_stream for chunk in chunks]


def test_trailers_end_a_duplex_stream(make_plan: MakePlan, make_facts: MakeFacts) -> None:
    """With trailers, their answer ends the stream and no chunk does."""
    _, body, trailers = decision_on_duplex(make_plan(), make_facts(), b"body", has_trailers=True)

    assert not body.request_body.response.body_mutation.streamed_response.end_of_stream
    assert "request_trailers" == trailers.WhichOneof("response")


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (BadRequestError("bad", reason="too-long", param="messages"), 400, "BadRequestError"),
        (ModelNotFoundError("bad", reason="no-model", param="model"), 404, "NotFoundError"),
        (BodyTooLargeError("bad", reason="body-too-large"), 413, "RequestEntityTooLargeError"),
        (NoInstanceError("bad", reason="no-instance"), 503, "ServiceUnavailableError"),
    ],
)
def test_a_refusal_is_an_openai_error(
    set_headers: ReadHeaders, error: RoutingError, status: int, kind: str
) -> None:
    """Status, reason header and JSON body say the same."""
    immediate = refusal(error).immediate_response

    assert status == immediate.status.code
    assert {"content-type": "application/json", names.ERROR_REASON: error.reason} == set_headers(
        immediate.headers
    )
    assert {
        "error": {"message": "bad", "type": kind, "param": error.param, "code": error.reason}
    } == json.loads(immediate.body)
    assert f"ttca_{error.reason}" == immediate.details


def test_a_lone_surrogate_in_a_message_can_be_sent() -> None:
    """JSON can smuggle one into a message; the refusal still has a body that is valid JSON."""
    immediate = refusal(BadRequestError("model '\ud800'", reason="x")).immediate_response

    assert "model '\ud800'" == json.loads(immediate.body)["error"]["message"]


def test_a_hedged_plan_says_so(
    make_plan: MakePlan, make_facts: MakeFacts, set_headers: Callable[..., dict[str, str]]
) -> None:
    """Envoy races a slow try instead of giving it up."""
    response = decision_on_headers(make_plan(hedges=True, per_try_timeout_seconds=1.0), make_facts())

    assert "true" == set_headers(response.request_headers.response.header_mutation)[names.HEDGE]


def test_a_verified_plan_travels_with_its_spec(
    make_plan: MakePlan, make_facts: MakeFacts, set_headers: Callable[..., dict[str, str]]
) -> None:
    """The ATTEMPT filter of any replica knows what the answer must meet."""
    plan = make_plan(is_verified=True, route_cluster=names.UNION_CLUSTER)
    spec = CarriedSpec(text="1;api=chat_completions", needs_request=False)
    headers = set_headers(
        decision_on_body(plan, make_facts(), None, spec).request_body.response.header_mutation
    )

    assert spec.text == decode_attempt_plan(headers[names.ATTEMPT_LIMITS]).spec


def test_a_reply_is_a_json_document(set_headers: Callable[..., dict[str, str]]) -> None:
    """Its details begin with `ttca`, so that Envoy leaves it as it is."""
    immediate = reply(202, {"known": True}).immediate_response

    assert (202, {"known": True}) == (immediate.status.code, json.loads(immediate.body))
    assert {"content-type": "application/json"} == set_headers(immediate.headers)
    assert immediate.details.startswith("ttca")
