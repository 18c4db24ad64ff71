from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from extproc.facts.request import Api
from extproc.facts.response import parse_response

_KEYS = st.sampled_from([
    "choices", "message", "content", "text", "tool_calls", "function", "function_call", "name", "arguments", "logprobs",
    "token_logprobs", "logprob", "finish_reason", "output", "type", "refusal", "status", "incomplete_details", "reason",
    "input", "stop_reason", "data", "embedding", "usage", "prompt_tokens", "error", "code", "object",
])  # fmt: skip
_WORDS = st.sampled_from(
    ["message", "text", "tool_use", "function_call", "function", "error", "stop", "length"]
)
_LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | _WORDS
_VALUES = st.recursive(
    _LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=5),
    max_leaves=25,
)


@settings(max_examples=300, deadline=None)
@given(api=st.sampled_from(Api), document=st.dictionaries(_KEYS, _VALUES, max_size=6))
def test_no_document_raises(api: Api, document: dict[str, object]) -> None:
    """Any JSON object with the APIs' own names in it becomes facts."""
    body = json.dumps(document).encode()

    assert len(body) == parse_response(api, 200, "application/json", body).body_bytes


@settings(max_examples=200, deadline=None)
@given(
    api=st.sampled_from(Api),
    status=st.integers(),
    kind=st.text(max_size=10) | st.just("application/json"),
    body=st.binary(max_size=60),
)
def test_no_bytes_raise(api: Api, status: int, kind: str, body: bytes) -> None:
    """Any status, type and body become facts."""
    assert status == parse_response(api, status, kind, body).status
