"""Chat requests of an exact size: a system message, turns of prose and code, a question."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from loadgen.workload.prompts import BYTES_PER_TOKEN, TextSource

_SMALLEST_TURN_BYTES = 320
_LARGEST_TURN_BYTES = 8192
_MAX_TOKENS = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyShape:
    """What a kind of request looks like.

    Attributes:
        body_bytes: Size of the body, at least 1024.
        model: Model asked for; an alias makes the service rewrite the body.
    """

    body_bytes: int
    model: str


def chat_bodies(shape: BodyShape, count: int, source: TextSource) -> tuple[bytes, ...]:
    """Write `count` different bodies; every second one limits its output.

    Raises:
        ValueError: The size is too small for a conversation.
    """
    return tuple(_chat_body(shape, index, source) for index in range(count))


def _chat_body(shape: BodyShape, index: int, source: TextSource) -> bytes:
    turn_bytes = min(_LARGEST_TURN_BYTES, max(_SMALLEST_TURN_BYTES, shape.body_bytes // 5))
    messages = [{"role": "system", "content": _text(source, "prose", 240, f"{index}/system")}]
    body: dict[str, Any] = {"model": shape.model, "messages": messages, "temperature": 0.7}
    if index % 2:
        body["max_tokens"] = _MAX_TOKENS
    size = len(orjson.dumps(body))
    turn = 0
    while size + 2 * turn_bytes < shape.body_bytes:
        role, kind = ("assistant", "code") if turn % 2 else ("user", "prose")
        messages.append({"role": role, "content": _text(source, kind, turn_bytes, f"{index}/{turn}")})
        size = len(orjson.dumps(body))
        turn += 1
    messages.append({"role": "user", "content": ""})
    missing = shape.body_bytes - len(orjson.dumps(body))
    if missing < 1:
        raise ValueError(f"a conversation does not fit into {shape.body_bytes} bytes")
    question = _text(source, "prose", 2 * missing, f"{index}/question").replace("\n", " ")
    messages[-1]["content"] = question[:missing]
    return orjson.dumps(body)


def _text(source: TextSource, kind: str, size: int, key: str) -> str:
    return source.text(kind, max(1, round(size / BYTES_PER_TOKEN[kind])), key)
