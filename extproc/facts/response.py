"""From an answer's status, type and body to `ResponseFacts`; the reading of bodies is as tolerant as can be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from extproc.errors import RoutingError
from extproc.facts.answer import AnswerError, Choice, ResponseFacts, Usage
from extproc.facts.answer_shapes import (
    read_chat_choices,
    read_completion_choices,
    read_message_choices,
    read_response_choices,
)
from extproc.facts.fields import MAX_TOKENS
from extproc.facts.json_body import JsonObject, read_object
from extproc.facts.request import Api

_CHOICE_READERS: Final[Mapping[Api, Callable[[JsonObject], tuple[Choice, ...] | None]]] = MappingProxyType(
    {
        Api.CHAT_COMPLETIONS: read_chat_choices,
        Api.COMPLETIONS: read_completion_choices,
        Api.RESPONSES: read_response_choices,
        Api.MESSAGES: read_message_choices,
    }
)


def parse_response(api: Api, status: int, content_type: str, body: bytes) -> ResponseFacts:
    """Understand an answer; what cannot be read is None or unknown, and no body whatever raises.

    Only plain JSON is looked into. The time is linear in the body; its size is bounded by Envoy's buffer.
    """
    is_json = _is_json(content_type)
    document: JsonObject | None = None
    if is_json:
        try:
            document = read_object(body)
        except RoutingError:
            # A body that is no JSON object is a fact about the answer, not a mistake of the client's.
            document = None
    if document is None:
        return ResponseFacts(api=api, status=status, is_json=is_json, body_bytes=len(body))
    reader = _CHOICE_READERS.get(api)
    choices = reader(document) if reader is not None else None
    embeddings = _count_embeddings(document) if api is Api.EMBEDDINGS else None
    return ResponseFacts(
        api=api,
        status=status,
        is_json=True,
        is_readable=choices is not None or embeddings is not None,
        choices=choices or (),
        embeddings=embeddings,
        model=_text(document.get("model")),
        usage=_read_usage(document.get("usage")),
        error=_read_error(document),
        body_bytes=len(body),
    )


def _is_json(content_type: str) -> bool:
    """Tell whether a body is JSON, structured suffixes such as `application/problem+json` included."""
    kind = content_type.partition(";")[0].strip().lower()
    return kind == "application/json" or kind.endswith("+json")


def _count_embeddings(document: JsonObject) -> int | None:
    data = document.get("data")
    if not isinstance(data, list):
        return None
    # A vector is an array of numbers, or base64 text of them.
    return sum(
        1
        for item in data
        if isinstance(item, dict) and isinstance(item.get("embedding"), list | str) and item["embedding"]
    )


def _read_usage(usage: object) -> Usage:
    if not isinstance(usage, dict):
        return Usage()
    return Usage(
        prompt_tokens=_count(usage.get("prompt_tokens", usage.get("input_tokens"))),
        completion_tokens=_count(usage.get("completion_tokens", usage.get("output_tokens"))),
    )


def _read_error(document: JsonObject) -> AnswerError | None:
    """Read the error in any of its shapes: an object or a text under `error`, or the document itself."""
    error = document.get("error")
    if error is None and document.get("object") == "error":
        error = document
    if isinstance(error, str):
        return AnswerError(message=error)
    if not isinstance(error, dict):
        return None
    code = error.get("code")
    return AnswerError(
        message=_text(error.get("message")),
        type=_text(error.get("type")),
        code=str(code) if type(code) is int else _text(code),
    )


def _text(value: object) -> str | None:
    return value if type(value) is str else None


def _count(value: object) -> int | None:
    return value if type(value) is int and 0 <= value <= MAX_TOKENS else None
