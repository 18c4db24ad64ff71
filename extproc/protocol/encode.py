"""Plans and refusals into Envoy's messages. This is the hot path: messages are filled in place, and what never
varies is built once. The constants are shared by all streams; nobody may change them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable

from extproc.decide.attempts import CarriedSpec
from extproc.decide.plan import Plan
from extproc.errors import RoutingError
from extproc.facts.json_body import JsonObject
from extproc.facts.request import RequestFacts
from extproc.protocol import names
from extproc.protocol.attempt_plan import encode_attempt_plan
from extproc.protocol.decision_metadata import write_decision
from extproc.protocol.wire import ext_proc_pb2 as wire

_OVERWRITE = wire.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD

MAX_CHUNK_BYTES = 62_000
"""Most bytes of one streamed body response: some Envoy builds refuse 64 KiB and more."""

CONTINUE_REQUEST_HEADERS = wire.ProcessingResponse(request_headers=wire.HeadersResponse())
CONTINUE_REQUEST_BODY = wire.ProcessingResponse(request_body=wire.BodyResponse())
CONTINUE_REQUEST_TRAILERS = wire.ProcessingResponse(request_trailers=wire.TrailersResponse())

CLEAR_REQUEST_BODY = wire.ProcessingResponse(
    request_body=wire.BodyResponse(
        response=wire.CommonResponse(body_mutation=wire.BodyMutation(clear_body=True))
    )
)


def decision_on_headers(
    plan: Plan, facts: RequestFacts, spec: CarriedSpec | None = None
) -> wire.ProcessingResponse:
    """Answer request headers that no body follows."""
    response = wire.ProcessingResponse()
    _fill(response, response.request_headers.response, plan, facts, spec)
    return response


def decision_on_body(
    plan: Plan, facts: RequestFacts, body: bytes | None, spec: CarriedSpec | None = None
) -> wire.ProcessingResponse:
    """Answer a buffered body; `body` replaces it, None leaves it untouched."""
    response = wire.ProcessingResponse()
    common = response.request_body.response
    _fill(response, common, plan, facts, spec)
    if body is not None:
        common.body_mutation.body = body
        set_header(common.header_mutation.set_headers.add, names.CONTENT_LENGTH, b"%d" % len(body))
    return response


def decision_on_chunks(
    plan: Plan, facts: RequestFacts, body: bytes | None, chunks: int, spec: CarriedSpec | None = None
) -> list[wire.ProcessingResponse]:
    """Answer held-back headers and then each of `chunks` body messages, at least one (body mode STREAMED).

    `body` goes out in place of the first chunk, and the others are emptied; None leaves them all untouched.
    Envoy drops the content length of a streamed body by itself.
    """
    responses = [decision_on_headers(plan, facts, spec)]
    if body is None:
        return responses + [CONTINUE_REQUEST_BODY] * chunks
    first = wire.ProcessingResponse()
    first.request_body.response.body_mutation.body = body
    return [*responses, first, *[CLEAR_REQUEST_BODY] * (chunks - 1)]


def decision_on_duplex(
    plan: Plan, facts: RequestFacts, body: bytes, spec: CarriedSpec | None = None, *, has_trailers: bool
) -> list[wire.ProcessingResponse]:
    """Answer held-back headers, then give Envoy the body to send, in chunks (body mode FULL_DUPLEX_STREAMED)."""
    responses = [decision_on_headers(plan, facts, spec)]
    for start in range(0, max(len(body), 1), MAX_CHUNK_BYTES):
        response = wire.ProcessingResponse()
        streamed = response.request_body.response.body_mutation.streamed_response
        streamed.body = body[start : start + MAX_CHUNK_BYTES]
        streamed.end_of_stream = start + MAX_CHUNK_BYTES >= len(body) and not has_trailers
        responses.append(response)
    return [*responses, CONTINUE_REQUEST_TRAILERS] if has_trailers else responses


def refusal(error: RoutingError) -> wire.ProcessingResponse:
    """Answer the client in the instances' stead: status, reason header and an OpenAI-shaped JSON error."""
    response = wire.ProcessingResponse()
    immediate = response.immediate_response
    immediate.status.code = error.http_status
    # ASCII escapes: a lone surrogate that came out of the client's JSON cannot break the encoding.
    immediate.body = json.dumps(
        {
            "error": {
                "message": error.message,
                "type": error.error_type,
                "param": error.param,
                "code": error.reason,
            }
        }
    ).encode()
    add = immediate.headers.set_headers.add
    set_header(add, "content-type", b"application/json")
    set_header(add, names.ERROR_REASON, error.reason.encode())
    immediate.details = f"ttca_{error.reason}"
    return response


def reply(status: int, document: JsonObject) -> wire.ProcessingResponse:
    """Answer the client in the instances' stead with a JSON document."""
    response = wire.ProcessingResponse()
    immediate = response.immediate_response
    immediate.status.code = status
    immediate.body = json.dumps(document).encode()
    set_header(immediate.headers.set_headers.add, "content-type", b"application/json")
    immediate.details = "ttca_reply"
    return response


def _fill(
    response: wire.ProcessingResponse,
    common: wire.CommonResponse,
    plan: Plan,
    facts: RequestFacts,
    spec: CarriedSpec | None,
) -> None:
    """Write the plan into headers and into dynamic metadata; the host list is the same text in both."""
    common.clear_route_cache = True
    destination = ",".join([attempt.address for attempt in plan.attempts])
    _write_headers(common.header_mutation, plan, facts, spec, destination)
    metadata = response.dynamic_metadata.fields
    metadata[names.LB_NAMESPACE].struct_value.fields[names.DESTINATION].string_value = destination
    write_decision(metadata[names.DECISION_NAMESPACE].struct_value.fields, plan, facts)


def _write_headers(
    mutation: wire.HeaderMutation, plan: Plan, facts: RequestFacts, spec: CarriedSpec | None, destination: str
) -> None:
    add = mutation.set_headers.add
    set_header(add, names.DESTINATION, destination.encode())
    set_header(add, names.CLUSTER, plan.route_cluster.encode())
    set_header(add, names.DECISION_ID, plan.decision_id.encode())
    set_header(add, names.MAX_RETRIES, b"%d" % plan.max_retries)
    set_header(add, names.TIMEOUT, _milliseconds(plan.timeout_seconds))
    if plan.per_try_timeout_seconds is not None:
        set_header(add, names.PER_TRY_TIMEOUT, _milliseconds(plan.per_try_timeout_seconds))
    if plan.hedges:
        set_header(add, names.HEDGE, b"true")
    # Plans of one plain cluster never meet the ATTEMPT filter, and pay one comparison.
    if plan.overflow_addresses or plan.route_cluster == names.UNION_CLUSTER:
        carried = encode_attempt_plan(plan, facts, spec)
        if carried:
            set_header(add, names.ATTEMPT_LIMITS, carried.encode())


def set_header(add: Callable[..., wire.HeaderValueOption], key: str, value: bytes) -> None:
    """Set a header in place of all that have its name; `add` makes an entry of a mutation's `set_headers`."""
    header = add(append_action=_OVERWRITE).header
    header.key = key
    header.raw_value = value


def _milliseconds(seconds: float) -> bytes:
    """Return at least 1: Envoy reads 0 as no timeout at all."""
    return b"%d" % max(1, math.ceil(seconds * 1000))
