"""Bodies of `/v1/chat/completions`."""

from __future__ import annotations

from extproc.facts.fields import (
    MAX_CHOICES,
    MAX_TOKENS,
    check_message,
    read_int,
    read_messages_array,
    read_stream_usage,
)
from extproc.facts.json_body import JsonObject
from extproc.facts.prompt import Prompt, Reading


def read_chat(body: JsonObject) -> Reading:
    """Read a chat completion; `max_completion_tokens` wins over `max_tokens`, as in vLLM.

    Raises:
        BadRequestError: A field that routing needs is one that vLLM would refuse.
    """
    prompt = Prompt()
    add_messages(prompt, body)
    prompt.add_tools(body)
    # For retrieval-augmented templates: an array of objects with string values.
    if documents := body.get("documents"):
        prompt.add_json(documents, "documents")
    deprecated_limit = read_int(body, "max_tokens", minimum=_lowest(body), maximum=MAX_TOKENS)
    limit = read_int(body, "max_completion_tokens", minimum=1, maximum=MAX_TOKENS)
    return Reading(
        prompt=prompt,
        max_output_tokens=deprecated_limit if limit is None else limit,
        choices=read_int(body, "n", minimum=1, maximum=MAX_CHOICES) or 1,
        wants_stream_usage=read_stream_usage(body),
    )


def add_messages(prompt: Prompt, body: JsonObject) -> None:
    """Collect the messages of a conversation: contents, names, reasoning, tool calls.

    Raises:
        BadRequestError: `messages` is absent, empty or no array, or a message is malformed.
    """
    messages = read_messages_array(body)
    prompt.messages = len(messages)
    for index, item in enumerate(messages):
        message = check_message(item, index)
        content = message.get("content")
        if type(content) is str:
            prompt.parts.append(content)
        elif content is not None:
            prompt.add_content(content, f"messages[{index}].content")
        if len(message) > 2:
            _add_extras(prompt, message, index)


def _lowest(body: JsonObject) -> int:
    """Lowest `max_tokens` that vLLM takes: anything when it does not look at it."""
    return 1 if body.get("max_completion_tokens") is None else -MAX_TOKENS


def _add_extras(prompt: Prompt, message: JsonObject, index: int) -> None:
    for key in ("name", "reasoning", "reasoning_content"):
        prompt.add_string(message.get(key))
    calls = message.get("tool_calls")
    if isinstance(calls, list):
        for call in calls:
            function = call.get("function") if isinstance(call, dict) else None
            if isinstance(function, dict):
                prompt.add_string(function.get("name"))
                _add_arguments(prompt, function.get("arguments"), f"messages[{index}].tool_calls")
    if message.get("tools"):
        prompt.add_json(message["tools"], f"messages[{index}].tools")


def _add_arguments(prompt: Prompt, arguments: object, path: str) -> None:
    """Collect a call's arguments: JSON text by the API's rules, an object from some clients."""
    if isinstance(arguments, dict):
        prompt.add_json(arguments, path)
    else:
        prompt.add_string(arguments)
