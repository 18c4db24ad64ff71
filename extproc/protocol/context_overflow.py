"""Does an instance's 400 say that the prompt is too long for its context, rather than that the request is wrong?"""

from __future__ import annotations

from collections.abc import Iterator

import orjson

_WORDINGS = (
    # vLLM, every API: "This model's maximum context length is 2048 tokens. However, you requested …"
    "maximum context length",
    # vLLM's engine: "The decoder prompt (length 3000) is longer than the maximum model length of 2048."
    "maximum model length",
    # vLLM's responses API: "The engine prompt length 3000 exceeds the max_model_len 2048."
    "max_model_len",
    # The code that OpenAI's API and those that copy it give.
    "context_length_exceeded",
    # Anthropic's API and those that copy it: "prompt is too long: 210000 tokens > 200000 maximum"
    "prompt is too long",
)

_MAX_ERROR_BYTES = 64 * 1024
"""A longer body is no error message; it is not searched."""


def is_context_overflow(body: bytes) -> bool:
    """Say whether the JSON error body of a 400 reports a prompt or token limit over the context length.

    Only the error's own message, code and type are searched, so that a prompt quoted elsewhere in the body
    decides nothing. A body that is not JSON is no overflow.
    """
    if len(body) > _MAX_ERROR_BYTES:
        return False
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return False
    return any(wording in text for text in _error_texts(document) for wording in _WORDINGS)


def _error_texts(document: object) -> Iterator[str]:
    """Yield message, code and type in lower case: of `error`, or of the document where it is the error itself."""
    if not isinstance(document, dict):
        return
    error = document.get("error", document)
    if isinstance(error, str):
        yield error.lower()
    elif isinstance(error, dict):
        for key in ("message", "code", "type"):
            text = error.get(key)
            if isinstance(text, str):
                yield text.lower()
