"""The states of both exchanges and every step between them, as data.

Rule 1: everything that decides whether a message is legal stands in these tables.
Rule 2: a pair that is not in the table is an error of the peer (a message) or of the caller (an answer).

DECIDE. The headers are answered at once when Envoy buffers the body, and held back when it streams it, because
header changes are lost once the headers have gone on.

    idle ── headers ──► awaiting_body ── body ──► ready ── answer ──► done
      ├──── headers, body streamed ──► collecting ── end, trailers ──┤
      └──── headers alone ───────────────────────────────────────────┘

ATTEMPT. A try that nothing is asked of is done after its first message, a stream after its response headers.

    idle ── headers, no plan ──► done
      ├──── headers ──────────────────────────────────► watching ── passed on ──► done
      └──── headers, body wanted ──► awaiting_request ── body ──┘ │
                                                                  ├── status 400 ──► awaiting_error ── body ──► done
                                                                  └── to be judged ──► awaiting_answer ── body ──► judging ── verdict ──► done
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from extproc.errors import ProtocolError


class DecideState(StrEnum):
    """Where a DECIDE exchange stands."""

    IDLE = "idle"
    AWAITING_BODY = "awaiting_body"
    COLLECTING = "collecting"
    READY = "ready"
    DONE = "done"


class DecideInput(StrEnum):
    """What can happen to a DECIDE exchange."""

    HEADERS_ALONE = "request headers without a body to come"
    HEADERS_BEFORE_WHOLE_BODY = "request headers before a buffered body"
    HEADERS_BEFORE_CHUNKS = "request headers before a streamed body"
    WHOLE_BODY = "buffered request body"
    CHUNK = "chunk of a request body"
    LAST_CHUNK = "last chunk of a request body"
    TRAILERS = "request trailers"
    ANSWER = "an answer with a plan"
    REFUSAL = "a refusal"


class AttemptState(StrEnum):
    """Where an ATTEMPT exchange stands."""

    IDLE = "idle"
    AWAITING_REQUEST = "awaiting_request"
    WATCHING = "watching"
    AWAITING_ERROR = "awaiting_error"
    AWAITING_ANSWER = "awaiting_answer"
    JUDGING = "judging"
    DONE = "done"


class AttemptInput(StrEnum):
    """What can happen to an ATTEMPT exchange."""

    HEADERS_UNPLANNED = "request headers of a try that nothing is asked of"
    HEADERS_PLANNED = "request headers of a try of a plan"
    HEADERS_WANTING_BODY = "request headers of a try whose body is wanted"
    REQUEST_BODY = "body of the request"
    ANSWER_PASSED = "response headers of an answer that goes on as it is"
    ANSWER_REJECTED = "response headers of an error that may mean a retry"
    ANSWER_HELD = "response headers of an answer that will be judged"
    RESPONSE_BODY = "body of the response"
    VERDICT = "a verdict"
    LEFTOVER = "a message after the last one of interest"


DECIDE_TRANSITIONS: Mapping[DecideState, Mapping[DecideInput, DecideState]] = {
    DecideState.IDLE: {
        DecideInput.HEADERS_ALONE: DecideState.READY,
        DecideInput.HEADERS_BEFORE_WHOLE_BODY: DecideState.AWAITING_BODY,
        DecideInput.HEADERS_BEFORE_CHUNKS: DecideState.COLLECTING,
    },
    DecideState.AWAITING_BODY: {
        DecideInput.WHOLE_BODY: DecideState.READY,
    },
    DecideState.COLLECTING: {
        DecideInput.CHUNK: DecideState.COLLECTING,
        DecideInput.LAST_CHUNK: DecideState.READY,
        DecideInput.TRAILERS: DecideState.READY,
        DecideInput.REFUSAL: DecideState.DONE,
    },
    # Envoy can deliver the last chunk of a body twice (envoyproxy/envoy#46237), and trailers may follow the body.
    DecideState.READY: {
        DecideInput.WHOLE_BODY: DecideState.READY,
        DecideInput.CHUNK: DecideState.READY,
        DecideInput.LAST_CHUNK: DecideState.READY,
        DecideInput.TRAILERS: DecideState.READY,
        DecideInput.ANSWER: DecideState.DONE,
        DecideInput.REFUSAL: DecideState.DONE,
    },
    DecideState.DONE: {
        DecideInput.WHOLE_BODY: DecideState.DONE,
        DecideInput.CHUNK: DecideState.DONE,
        DecideInput.LAST_CHUNK: DecideState.DONE,
        DecideInput.TRAILERS: DecideState.DONE,
    },
}

ATTEMPT_TRANSITIONS: Mapping[AttemptState, Mapping[AttemptInput, AttemptState]] = {
    AttemptState.IDLE: {
        AttemptInput.HEADERS_UNPLANNED: AttemptState.DONE,
        AttemptInput.HEADERS_PLANNED: AttemptState.WATCHING,
        AttemptInput.HEADERS_WANTING_BODY: AttemptState.AWAITING_REQUEST,
    },
    AttemptState.AWAITING_REQUEST: {
        AttemptInput.REQUEST_BODY: AttemptState.WATCHING,
    },
    AttemptState.WATCHING: {
        AttemptInput.ANSWER_PASSED: AttemptState.DONE,
        AttemptInput.ANSWER_REJECTED: AttemptState.AWAITING_ERROR,
        AttemptInput.ANSWER_HELD: AttemptState.AWAITING_ANSWER,
    },
    AttemptState.AWAITING_ERROR: {
        AttemptInput.RESPONSE_BODY: AttemptState.DONE,
    },
    AttemptState.AWAITING_ANSWER: {
        AttemptInput.RESPONSE_BODY: AttemptState.JUDGING,
    },
    AttemptState.JUDGING: {
        AttemptInput.VERDICT: AttemptState.DONE,
    },
    AttemptState.DONE: {
        AttemptInput.LEFTOVER: AttemptState.DONE,
    },
}


def next_decide_state(state: DecideState, happened: DecideInput) -> DecideState:
    """Return the state after `happened`; raise `ProtocolError` where the table has none."""
    try:
        return DECIDE_TRANSITIONS[state][happened]
    except KeyError:
        raise ProtocolError(f"{happened} cannot come in state {state}") from None


def next_attempt_state(state: AttemptState, happened: AttemptInput) -> AttemptState:
    """Return the state after `happened`; raise `ProtocolError` where the table has none."""
    try:
        return ATTEMPT_TRANSITIONS[state][happened]
    except KeyError:
        raise ProtocolError(f"{happened} cannot come in state {state}") from None
