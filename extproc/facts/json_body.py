"""Reading a body as JSON the way vLLM's front end does: what Python's `json` accepts is accepted, last duplicate wins."""

from __future__ import annotations

import json
import re
from typing import Final, TypeAlias

import orjson

from extproc.errors import BadRequestError, BodyTooLargeError

JsonObject: TypeAlias = dict[str, object]

LENIENT_LIMIT_BYTES: Final = 1 << 20
"""Largest body that gets a second chance with `json`, which is some ten times slower than `orjson`."""

MAX_CONTAINERS: Final = 500_000
"""Most arrays and objects in one body: 20 MB of `[` would become a gigabyte of lists."""

# Possessive repeats keep this one pass over the bytes; brackets inside strings are passed over with them.
_TOO_MANY_CONTAINERS: Final = re.compile(
    rb'(?:(?:[^"\[{]++|"[^"\\]*+(?:\\.[^"\\]*+)*+")*+[\[{]){%d}+' % (MAX_CONTAINERS + 1), re.DOTALL
)


def read_object(body: bytes) -> JsonObject:
    """Read a body whose top level must be a JSON object.

    Its strings may hold lone surrogates, and its numbers may be infinite or NaN.

    Raises:
        BadRequestError: It is no JSON (`invalid-json`), is nested more deeply than `json` can read
            (`nested-too-deeply`), or is no object (`not-an-object`).
        BodyTooLargeError: It has more than `MAX_CONTAINERS` arrays and objects (`too-many-containers`).
    """
    _refuse_container_bomb(body)
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as refusal:
        value = _read_leniently(body, refusal)
    if type(value) is not dict:
        raise BadRequestError(
            f"The request body must be a JSON object, got {describe(value)}.", reason="not-an-object"
        )
    return value


def as_text(value: object) -> str:
    """Write a part of a body as JSON text, the form in which a chat template shows declarations to a model.

    Raises:
        RecursionError: It is nested more deeply than `json` can write.
    """
    try:
        return orjson.dumps(value).decode()
    except orjson.JSONEncodeError:
        return json.dumps(value, ensure_ascii=False)


def describe(value: object) -> str:
    """Name a JSON value for an error message, at most some 60 characters however large the value is."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"the string {value[:40]!r}{'…' if len(value) > 40 else ''}"
    if isinstance(value, int | float):
        text = str(value)
        return f"the number {text[:40]}{'…' if len(text) > 40 else ''}"
    if isinstance(value, list):
        return "an array" if value else "an empty array"
    return "an object"


def _read_leniently(body: bytes, refusal: orjson.JSONDecodeError) -> object:
    """Give `json` a try: it takes NaN, lone surrogates, a byte order mark, UTF-16 and UTF-32."""
    if len(body) <= LENIENT_LIMIT_BYTES:
        try:
            return json.loads(body)
        except RecursionError:
            raise BadRequestError(
                "The request body is nested too deeply: at most about 900 levels can be read.",
                reason="nested-too-deeply",
            ) from None
        except ValueError as error:
            message = str(error) if isinstance(error, UnicodeDecodeError) else str(refusal)
            raise _invalid_json(message) from None
    raise _invalid_json(str(refusal))


def _invalid_json(message: str) -> BadRequestError:
    return BadRequestError(f"The request body is not valid JSON: {message}.", reason="invalid-json")


def _refuse_container_bomb(body: bytes) -> None:
    # A container takes two bytes, so that smaller bodies need no count.
    if len(body) <= 2 * MAX_CONTAINERS or body.count(b"[") + body.count(b"{") <= MAX_CONTAINERS:
        return
    if _TOO_MANY_CONTAINERS.match(body):
        raise BodyTooLargeError(
            f"The request body has more than {MAX_CONTAINERS} arrays and objects.",
            reason="too-many-containers",
        )
