"""The list of answers in the bodies of each API: where text, finish reason, calls and log-probabilities stand.

Each reader returns None when the body has no such list, and skips what has an unknown shape inside it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final

from extproc.facts.answer import Choice, FinishReason, ToolCall
from extproc.facts.json_body import JsonObject, as_text

_OPENAI_FINISH: Final[Mapping[str, FinishReason]] = MappingProxyType(
    {
        "stop": FinishReason.STOP,
        "length": FinishReason.LENGTH,
        "tool_calls": FinishReason.TOOL_CALLS,
        "function_call": FinishReason.TOOL_CALLS,
        "content_filter": FinishReason.CONTENT_FILTER,
        # vLLM's own.
        "abort": FinishReason.ABORT,
        "error": FinishReason.ERROR,
        "repetition": FinishReason.REPETITION,
    }
)
_MESSAGES_FINISH: Final[Mapping[str, FinishReason]] = MappingProxyType(
    {
        "end_turn": FinishReason.STOP,
        "stop_sequence": FinishReason.STOP,
        "pause_turn": FinishReason.STOP,
        "max_tokens": FinishReason.LENGTH,
        "model_context_window_exceeded": FinishReason.CONTEXT_FULL,
        "tool_use": FinishReason.TOOL_CALLS,
        "refusal": FinishReason.REFUSAL,
    }
)
_RESPONSES_FINISH: Final[Mapping[str, FinishReason]] = MappingProxyType(
    {
        "completed": FinishReason.STOP,
        "max_output_tokens": FinishReason.LENGTH,
        "content_filter": FinishReason.CONTENT_FILTER,
        "cancelled": FinishReason.ABORT,
        "failed": FinishReason.ERROR,
    }
)

LEAST_LOGPROB: Final = -1e6
"""What a log-probability below it counts as: no engine writes such (vLLM's least is -9999), and any sum stays finite."""


def read_chat_choices(document: JsonObject) -> tuple[Choice, ...] | None:
    """Read `choices[].message` of a chat completion."""
    choices = document.get("choices")
    if not isinstance(choices, list):
        return None
    return tuple(_chat_choice(item) if isinstance(item, dict) else Choice(text=None) for item in choices)


def read_completion_choices(document: JsonObject) -> tuple[Choice, ...] | None:
    """Read `choices[].text` of a completion."""
    choices = document.get("choices")
    if not isinstance(choices, list):
        return None
    return tuple(
        _completion_choice(item) if isinstance(item, dict) else Choice(text=None) for item in choices
    )


def read_message_choices(document: JsonObject) -> tuple[Choice, ...] | None:
    """Read the one answer of `/v1/messages`: its content blocks."""
    content = document.get("content")
    if not isinstance(content, list):
        return None
    texts: list[str] = []
    calls: list[ToolCall] = []
    for block in _objects(content):
        kind = block.get("type")
        if kind == "text":
            texts.extend(_strings(block, "text"))
        elif type(kind) is str and kind.endswith("tool_use"):
            calls.append(_call(block.get("name"), block.get("input"), is_function=kind == "tool_use"))
    reason = _string(document.get("stop_reason"))
    return (
        Choice(
            text="".join(texts) if texts else None,
            finish_reason=_MESSAGES_FINISH.get(reason or "", FinishReason.UNKNOWN),
            finish_reason_text=reason,
            tool_calls=tuple(calls),
        ),
    )


def read_response_choices(document: JsonObject) -> tuple[Choice, ...] | None:
    """Read the one answer of `/v1/responses`: its output items."""
    output = document.get("output")
    if not isinstance(output, list):
        return None
    texts: list[str] = []
    refusals: list[str] = []
    logprobs: list[object] = []
    calls: list[ToolCall] = []
    for item in _objects(output):
        kind = item.get("type")
        if kind == "message":
            for part in _objects(item.get("content")):
                texts.extend(_strings(part, "text"))
                refusals.extend(_strings(part, "refusal"))
                logprobs.extend(_objects(part.get("logprobs")))
        elif type(kind) is str and kind.endswith("_call"):
            is_function = kind == "function_call"
            calls.append(_call(item.get("name"), item.get("arguments"), is_function=is_function))
    details = document.get("incomplete_details")
    reason = _string(details.get("reason")) if isinstance(details, dict) else None
    reason = reason or _string(document.get("status"))
    return (
        Choice(
            text="".join(texts) if texts else None,
            finish_reason=_RESPONSES_FINISH.get(reason or "", FinishReason.UNKNOWN),
            finish_reason_text=reason,
            tool_calls=tuple(calls),
            refusal="".join(refusals) if refusals else None,
            token_logprobs=_logprobs_of_objects(logprobs),
        ),
    )


def _chat_choice(item: JsonObject) -> Choice:
    message = item.get("message")
    if not isinstance(message, dict):
        message = {}
    logprobs = item.get("logprobs")
    entries = logprobs.get("content") if isinstance(logprobs, dict) else None
    reason = _string(item.get("finish_reason"))
    refusal = _string(message.get("refusal"))
    return Choice(
        text=_content_text(message.get("content")),
        finish_reason=_OPENAI_FINISH.get(reason or "", FinishReason.UNKNOWN),
        finish_reason_text=reason,
        tool_calls=tuple(_chat_calls(message)),
        refusal=refusal or None,
        token_logprobs=_logprobs_of_objects(entries),
    )


def _completion_choice(item: JsonObject) -> Choice:
    logprobs = item.get("logprobs")
    values = logprobs.get("token_logprobs") if isinstance(logprobs, dict) else None
    reason = _string(item.get("finish_reason"))
    return Choice(
        text=_string(item.get("text")),
        finish_reason=_OPENAI_FINISH.get(reason or "", FinishReason.UNKNOWN),
        finish_reason_text=reason,
        token_logprobs=_logprobs(values) if isinstance(values, list) else None,
    )


def _chat_calls(message: JsonObject) -> Iterator[ToolCall]:
    for call in _objects(message.get("tool_calls")):
        function = call.get("function")
        if isinstance(function, dict):
            yield _call(function.get("name"), function.get("arguments"))
        else:
            yield ToolCall(name=None, arguments=None, is_function=call.get("type", "function") == "function")
    # The deprecated form of a single call.
    single = message.get("function_call")
    if isinstance(single, dict) and type(single.get("name")) is str:
        yield _call(single["name"], single.get("arguments"))


def _call(name: object, arguments: object, *, is_function: bool = True) -> ToolCall:
    """Build a call; arguments that are no text, as in the messages API, are written as JSON."""
    if arguments is None or type(arguments) is str:
        text = arguments
    else:
        try:
            text = as_text(arguments)
        except (RecursionError, ValueError):
            # Too deep to write, or a lone surrogate that no encoder takes: the call stays, its arguments unknown.
            text = None
    return ToolCall(name=_string(name), arguments=text, is_function=is_function)


def _content_text(content: object) -> str | None:
    """Return a message's text: a string, or the text parts of an array."""
    if type(content) is str:
        return content
    texts = [text for part in _objects(content) for text in _strings(part, "text")]
    return "".join(texts) if texts else None


def _logprobs_of_objects(entries: object) -> tuple[float, ...] | None:
    values = [entry.get("logprob") for entry in _objects(entries)]
    return _logprobs(values) if values else None


def _logprobs(values: list[object]) -> tuple[float, ...] | None:
    """Return the figures of a list in which an unknown one is null; None when there is none at all."""
    figures = tuple(
        max(LEAST_LOGPROB, min(0.0, float(value)))
        for value in values
        if (type(value) is float and math.isfinite(value))
        # An integer beyond a float's range is no logarithm of anything.
        or (type(value) is int and -(2**63) <= value < 2**63)
    )
    return figures or None


def _objects(value: object) -> Iterator[JsonObject]:
    if isinstance(value, list):
        yield from (item for item in value if isinstance(item, dict))


def _strings(part: JsonObject, key: str) -> Iterator[str]:
    value = part.get(key)
    if type(value) is str:
        yield value


def _string(value: object) -> str | None:
    return value if type(value) is str else None
