"""Typed fields of a body, coerced as vLLM coerces them, or an error with path, value and expectation."""

from __future__ import annotations

from typing import Final

from pydantic import TypeAdapter, ValidationError

from extproc.errors import BadRequestError
from extproc.facts.json_body import JsonObject, describe

MAX_TOKENS: Final = 2**31 - 1
"""Largest token limit: above any context length, within 32 bits."""

MAX_CHOICES: Final = 16_384
"""Largest `n`: the default of vLLM's `VLLM_MAX_N_SEQUENCES`."""

# vLLM's request models are pydantic's in lax mode: "10", 10.0 and true are integers there, so they are here.
_LAX_INT: Final = TypeAdapter(int)
_LAX_BOOL: Final = TypeAdapter(bool)


def invalid_field(path: str, expected: str, value: object) -> BadRequestError:
    """Build the error for a value of the wrong type or range.

    The path (`messages[2].content`) is also the error's `param`.
    """
    return BadRequestError(
        f"`{path}` must be {expected}, got {describe(value)}.", reason="invalid-field", param=path
    )


def missing_field(path: str, expected: str) -> BadRequestError:
    """Build the error for a required field that is absent or null."""
    return BadRequestError(f"`{path}` is required: {expected}.", reason="missing-field", param=path)


def read_int(body: JsonObject, name: str, *, minimum: int, maximum: int) -> int | None:
    """Read an optional integer within `[minimum, maximum]`; None when it is absent or null.

    Raises:
        BadRequestError: It is no integer or out of range.
    """
    value = body.get(name)
    if value is None:
        return None
    if type(value) is int:
        number = value
    else:
        try:
            number = _LAX_INT.validate_python(value)
        except ValidationError:
            raise invalid_field(name, "an integer", value) from None
    if not minimum <= number <= maximum:
        raise invalid_field(name, f"from {minimum} to {maximum}", number)
    return number


def read_flag(body: JsonObject, name: str, *, path: str | None = None) -> bool:
    """Read an optional boolean; False when it is absent or null.

    `path` names the field in an error when `body` is not the top level.

    Raises:
        BadRequestError: It is no boolean.
    """
    value = body.get(name)
    if value is None:
        return False
    if type(value) is bool:
        return value
    try:
        return _LAX_BOOL.validate_python(value)
    except ValidationError:
        raise invalid_field(path or name, "a boolean", value) from None


def read_stream_usage(body: JsonObject) -> bool:
    """Tell whether the client asked that a stream end with usage (`stream_options.include_usage`).

    Raises:
        BadRequestError: `stream_options` is no object, or its `include_usage` no boolean.
    """
    options = body.get("stream_options")
    if options is None:
        return False
    if not isinstance(options, dict):
        raise invalid_field("stream_options", "an object", options)
    return read_flag(options, "include_usage", path="stream_options.include_usage")


def read_messages_array(body: JsonObject) -> list[object]:
    """Read the required array `messages`; its elements are unchecked.

    Raises:
        BadRequestError: It is absent, empty or no array.
    """
    messages = body.get("messages")
    if messages is None:
        raise missing_field("messages", "an array with at least one message")
    if not isinstance(messages, list) or not messages:
        raise invalid_field("messages", "an array with at least one message", messages)
    return messages


def check_message(message: object, index: int) -> JsonObject:
    """Return the `index`-th message as an object with a role.

    Raises:
        BadRequestError: It is no object, or its role no string.
    """
    if not isinstance(message, dict):
        raise invalid_field(f"messages[{index}]", "a message (an object)", message)
    if type(role := message.get("role")) is not str:
        raise invalid_field(f"messages[{index}].role", "a string", role)
    return message
