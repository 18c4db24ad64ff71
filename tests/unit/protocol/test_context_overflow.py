from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.protocol.context_overflow import is_context_overflow


def error_body(message: str, **error: object) -> bytes:
    """An error as vLLM words it."""
    return json.dumps(
        {"error": {"message": message, "type": "BadRequestError", "param": None, "code": 400, **error}}
    ).encode()


@pytest.mark.parametrize(
    "message",
    [
        "This model's maximum context length is 2048 tokens. However, you requested 2100 tokens.",
        "This model's maximum context length is 2048 tokens. However, your request has 3000 input tokens.",
        "'max_tokens' is too large: 8000. This model's maximum context length is 4096 tokens (8000 > 4096 - 2778).",
        "The decoder prompt (length 3000) is longer than the maximum model length of 2048.",
        "The engine prompt length 3000 exceeds the max_model_len 2048. Please reduce prompt.",
        "prompt is too long: 210000 tokens > 200000 maximum",
    ],
)
def test_the_wordings_of_vllm_are_known(message: str) -> None:
    """Each wording of a context-length rejection counts, within `error` and without it."""
    assert is_context_overflow(error_body(message))
    assert is_context_overflow(json.dumps({"object": "error", "message": message, "code": 400}).encode())
    assert is_context_overflow(json.dumps({"error": message}).encode())


def test_the_code_of_openai_is_known() -> None:
    """The code decides alone, whatever the message says."""
    assert is_context_overflow(error_body("Too much.", code="context_length_exceeded"))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json: maximum context length",
        b"[]",
        b'"maximum context length"',
        b'{"error": null}',
        b'{"error": ["maximum context length"]}',
        error_body("temperature must be non-negative, got -1.0."),
        error_body("Input should be a valid string", input="maximum context length"),
        b'{"error": {"message": 7}}',
    ],
)
def test_other_rejections_are_no_overflow(body: bytes) -> None:
    """Neither another error, nor a quoted prompt, nor something that is no error message counts."""
    assert not is_context_overflow(body)


def test_a_huge_body_is_not_searched() -> None:
    """An error message has a few hundred bytes; a megabyte is something else."""
    assert not is_context_overflow(error_body("maximum context length" + "x" * 1_000_000))


@given(st.binary(max_size=200))
def test_no_body_is_an_error(body: bytes) -> None:
    """Any bytes give an answer, and nothing raises."""
    assert is_context_overflow(body) in (True, False)
