from __future__ import annotations

import json
import math
import tracemalloc
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from extproc.errors import RoutingError
from extproc.facts.parse import parse_request
from extproc.facts.request import Api, RequestFacts

PATHS = ("/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses", "/v1/messages")

FIELDS = (
    "model", "messages", "prompt", "input", "max_tokens", "max_completion_tokens", "max_output_tokens", "n", "stream",
    "stream_options", "include_usage", "tools", "system", "instructions", "echo", "role", "content", "type", "text",
    "image_url", "tool_calls", "function", "name", "arguments", "output", "summary", "documents", "prompt_embeds",
)  # fmt: skip
"""Every key that a reader looks at: random keys alone would never reach the readers' depths."""

words = st.sampled_from((*FIELDS, "user", "tool_use", "tool_result", "image", "thinking", "")) | st.text(
    max_size=5
)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | words | st.text()
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=6),
    max_leaves=30,
)
bodies = st.dictionaries(st.sampled_from(FIELDS), values, max_size=8)

VALID: tuple[dict[str, Any], ...] = (
    {
        "model": "a",
        "messages": [
            {
                "role": "user",
                "content": [{"type": "text", "text": "é"}, {"type": "image_url", "image_url": {"url": "x"}}],
            },
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}],
            },
        ],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": 5,
        "n": 2,
    },
    {"model": "a", "prompt": ["x", "yy"], "max_tokens": 0, "echo": True},
    {"model": "a", "input": [[1, 2], [3]], "instructions": "i", "max_output_tokens": 3},
    {
        "model": "a",
        "messages": [{"role": "user", "content": "x"}],
        "system": [{"type": "text", "text": "s"}],
        "max_tokens": 1,
    },
)


def _check_refusal(error: RoutingError) -> None:
    assert error.http_status in {400, 404, 413}
    assert 0 < len(error.message.encode()) < 500


def _outcome(path: str, body: bytes) -> RequestFacts | None:
    """Parse, hold the facts to what their documentation promises, and return None for a refusal."""
    try:
        facts = parse_request(
            method="POST",
            path=path,
            content_type="application/json",
            body=body,
            request_id="",
            subset=None,
            max_body_bytes=32 << 20,
        )
    except RoutingError as error:
        _check_refusal(error)
        return None
    if facts.api is not Api.OTHER:
        assert facts.model
        assert facts.choices >= 1
        assert 0 < facts.longest_share <= 1
        assert math.isfinite(facts.longest_share)
        assert facts.max_output_tokens is None or 0 <= facts.max_output_tokens < 2**31
        assert min(facts.prompt_token_ids, facts.messages, facts.images, facts.tools) >= 0
        assert facts.stream or not facts.wants_stream_usage
    return facts


@settings(deadline=None)
@given(path=st.sampled_from(PATHS), body=st.binary() | st.text().map(str.encode))
def test_arbitrary_bytes_are_understood_or_refused(path: str, body: bytes) -> None:
    """Bytes of any kind give facts or an answer for the client, nothing else."""
    _outcome(path, body)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(path=st.sampled_from(PATHS), body=bodies, model=st.just("a") | scalars)
def test_arbitrary_json_is_understood_or_refused(path: str, body: dict[str, Any], model: object) -> None:
    """JSON of any shape under the keys that matter gives facts or an answer for the client, nothing else."""
    _outcome(path, json.dumps({**body, "model": model}).encode())


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data(), path=st.sampled_from(PATHS), valid=st.sampled_from(VALID))
def test_mutated_bodies_are_understood_or_refused(
    data: st.DataObject, path: str, valid: dict[str, Any]
) -> None:
    """A valid body with bytes replaced, removed, repeated or inserted gives facts or an answer, nothing else."""
    body = json.dumps(valid, ensure_ascii=False).encode()
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(body)))
        end = min(len(body), start + data.draw(st.integers(0, 20)))
        insert = data.draw(
            st.sampled_from(
                (b"", body[start:end] * 2, b"null", b'"', b"[", b"}", b"\\", b"\xff", b"-1", b"1e999")
            )
        )
        body = body[:start] + insert + body[end:]
    _outcome(path, body)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("valid", VALID)
def test_cut_bodies_are_refused(path: str, valid: dict[str, Any]) -> None:
    """Every proper beginning of a body is refused or, when nothing is left, passed through."""
    body = json.dumps(valid, ensure_ascii=False).encode()

    outcomes = [_outcome(path, body[:size]) for size in range(1, len(body))]

    assert [None] * len(outcomes) == outcomes


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"[" * 100_000, id="depth"),
        pytest.param(b'{"model":"a","messages":' + b"[" * 100_000 + b"]" * 100_000 + b"}", id="closed depth"),
        pytest.param(b'{"model":"a","tools":' + b'{"a":' * 900 + b"1" + b"}" * 900 + b"}", id="deep tools"),
        pytest.param(b'{"model":"a","prompt":[' + b"[]," * 6_000_000 + b"[]]}", id="empty arrays"),
        pytest.param(b'{"model":"a","prompt":[' + b'{"a":{}},' * 2_000_000 + b"0]}", id="objects"),
        pytest.param(b'{"model":"a","messages":"' + b"\\" * 20_000_000, id="backslashes"),
        pytest.param(b'"' * 20_000_000, id="quotes"),
        pytest.param(b"9" * 20_000_000, id="digits"),
        pytest.param(b" " * 20_000_000, id="spaces"),
        pytest.param(b"\xff" * 20_000_000, id="no UTF-8"),
    ],
)
def test_hostile_bodies_cost_little_memory(body: bytes) -> None:
    """Up to 20 MB built to blow up are refused within the working memory that `orjson` sets aside anyway."""
    tracemalloc.start()
    try:
        outcome = _outcome("/v1/chat/completions", body)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert outcome is None
    assert peak_bytes < 13 * len(body) + 1_000_000
