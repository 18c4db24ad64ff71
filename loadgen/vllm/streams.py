"""Streamed answers, API by API: server-sent events in vLLM's order and with its fields."""

from __future__ import annotations

from typing import Any, Protocol

import orjson

from loadgen.vllm.asked import Api, Asked
from loadgen.vllm.documents import responses_document, stop_reason, usage_of
from loadgen.vllm.plan import Choice


class Framer(Protocol):
    """Turns progress into server-sent events; each method returns bytes to write, maybe none."""

    def opening(self) -> bytes:
        """What comes before any token."""

    def tokens(self, index: int, begin: int, end: int) -> bytes:
        """Tokens `begin` to `end` (exclusive) of choice `index`."""

    def closing(self) -> bytes:
        """What comes after the last token."""


def sse(document: object, event: str | None = None) -> bytes:
    """One server-sent event."""
    head = f"event: {event}\n".encode() if event else b""
    return head + b"data: " + orjson.dumps(document) + b"\n\n"


class ChatFramer:
    """`/v1/chat/completions` and `/v1/completions` streams, which differ in the chunk's body only."""

    def __init__(
        self, asked: Asked, choices: tuple[Choice, ...], *, answer_id: str, created: int, model: str
    ) -> None:
        self._asked = asked
        self._choices = choices
        self._is_chat = asked.api is Api.CHAT
        self._produced = [0] * len(choices)
        self._base = {
            "id": answer_id,
            "object": "chat.completion.chunk" if self._is_chat else "text_completion",
            "created": created,
            "model": model,
        }
        # One token's event is a constant head, the word and a constant tail: nothing is serialised per token.
        self._frames = [self._frame(index) for index in range(len(choices))]

    def opening(self) -> bytes:
        """What comes before any token."""
        if not self._is_chat:
            return b""
        return b"".join(
            self._event(
                {
                    "index": index,
                    "delta": {"role": "assistant", "content": ""},
                    "logprobs": None,
                    "finish_reason": None,
                }
            )
            for index in range(len(self._choices))
        )

    def tokens(self, index: int, begin: int, end: int) -> bytes:
        """Tokens `begin` to `end` (exclusive) of a choice."""
        choice = self._choices[index]
        last = choice.tokens - 1
        if self._asked.continuous_usage:
            parts = [self._counted(index, position, choice) for position in range(begin, min(end, last))]
        else:
            head, tail = self._frames[index]
            parts = [
                head + choice.word(position).encode() + tail for position in range(begin, min(end, last))
            ]
        self._produced[index] = end
        if end == choice.tokens:
            parts.append(self._chunk(self._piece(index, choice.word(last)), choice.finish_reason))
        return b"".join(parts)

    def closing(self) -> bytes:
        """What comes after the last token."""
        tail = b""
        if self._asked.include_usage:
            usage = usage_of(self._choices, self._asked.n, self._produced)
            tail = sse({**self._base, "choices": [], "usage": usage})
        return tail + b"data: [DONE]\n\n"

    def _counted(self, index: int, position: int, choice: Choice) -> bytes:
        self._produced[index] = position + 1
        return self._chunk(self._piece(index, choice.word(position)), None)

    def _piece(self, index: int, text: str) -> dict[str, Any]:
        if self._is_chat:
            return {"index": index, "delta": {"content": text}}
        return {"index": index, "text": text}

    def _chunk(self, piece: dict[str, Any], finish_reason: str | None) -> bytes:
        choice = {**piece, "logprobs": None, "finish_reason": finish_reason}
        # vLLM leaves out what its code did not set, which differs between the two APIs.
        if finish_reason is not None or not self._is_chat:
            choice["stop_reason"] = None
        if not self._is_chat:
            choice["prompt_token_ids"] = None
        choice["token_ids"] = None
        return self._event(choice)

    def _event(self, choice: dict[str, Any]) -> bytes:
        document: dict[str, Any] = {**self._base, "choices": [choice]}
        if self._asked.continuous_usage:
            document["usage"] = usage_of(self._choices, self._asked.n, self._produced)
        return sse(document)

    def _frame(self, index: int) -> tuple[bytes, bytes]:
        head, _, tail = self._chunk(self._piece(index, "@@"), None).rpartition(b"@@")
        return head, tail


class MessagesFramer:
    """`/v1/messages` streams: Anthropic's event sequence, as vLLM emits it."""

    def __init__(self, choices: tuple[Choice, ...], *, answer_id: str, model: str) -> None:
        self._choice = choices[0]
        self._answer_id = answer_id
        self._model = model

    def opening(self) -> bytes:
        """What comes before any token."""
        message: dict[str, Any] = {
            "id": self._answer_id, "type": "message", "role": "assistant", "content": [], "model": self._model,
            "stop_reason": None, "stop_sequence": None,
            "usage": {"input_tokens": self._choice.prompt_tokens, "output_tokens": 0},
        }  # fmt: skip
        block = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
        return sse({"type": "message_start", "message": message}, "message_start") + sse(
            block, "content_block_start"
        )

    def tokens(self, index: int, begin: int, end: int) -> bytes:
        """Tokens `begin` to `end` (exclusive) of a choice."""
        del index
        return b"".join(
            sse(
                {
                    "type": "content_block_delta",
                    "index": 0,
                    "delta": {"type": "text_delta", "text": self._choice.word(position)},
                },
                "content_block_delta",
            )
            for position in range(begin, end)
        )

    def closing(self) -> bytes:
        """What comes after the last token."""
        delta = {
            "type": "message_delta",
            "delta": {"stop_reason": stop_reason(self._choice), "stop_sequence": None},
            "usage": {"input_tokens": self._choice.prompt_tokens, "output_tokens": self._choice.tokens},
        }
        return (
            sse({"type": "content_block_stop", "index": 0}, "content_block_stop")
            + sse(delta, "message_delta")
            + sse({"type": "message_stop"}, "message_stop")
        )


class ResponsesFramer:
    """`/v1/responses` streams: numbered events around the text deltas."""

    def __init__(self, choices: tuple[Choice, ...], *, answer_id: str, created: int, model: str) -> None:
        self._choice = choices[0]
        self._answer_id = answer_id
        self._created = created
        self._model = model
        self._item_id = answer_id.replace("resp_", "msg_")
        self._number = 0

    def opening(self) -> bytes:
        """What comes before any token."""
        started = responses_document(
            self._choice,
            answer_id=self._answer_id,
            created=self._created,
            model=self._model,
            status="in_progress",
        )
        item = {
            "id": self._item_id,
            "type": "message",
            "role": "assistant",
            "status": "in_progress",
            "content": [],
        }
        part = {"type": "output_text", "text": "", "annotations": []}
        return (
            self._event("response.created", response=started)
            + self._event("response.in_progress", response=started)
            + self._event("response.output_item.added", output_index=0, item=item)
            + self._event("response.content_part.added", **self._place(), part=part)
        )

    def tokens(self, index: int, begin: int, end: int) -> bytes:
        """Tokens `begin` to `end` (exclusive) of a choice."""
        del index
        place = self._place()
        return b"".join(
            self._event("response.output_text.delta", **place, delta=self._choice.word(position))
            for position in range(begin, end)
        )

    def closing(self) -> bytes:
        """What comes after the last token."""
        done = responses_document(
            self._choice,
            answer_id=self._answer_id,
            created=self._created,
            model=self._model,
            status="completed",
        )
        item = done["output"][0]
        return (
            self._event("response.output_text.done", **self._place(), text=self._choice.text())
            + self._event("response.content_part.done", **self._place(), part=item["content"][0])
            + self._event("response.output_item.done", output_index=0, item=item)
            + self._event("response.completed", response=done)
        )

    def _place(self) -> dict[str, Any]:
        return {"item_id": self._item_id, "output_index": 0, "content_index": 0}

    def _event(self, kind: str, **fields: Any) -> bytes:  # noqa: ANN401 - JSON
        document = {"type": kind, "sequence_number": self._number, **fields}
        self._number += 1
        return sse(document, kind)


def framer_for(
    asked: Asked, choices: tuple[Choice, ...], *, answer_id: str, created: int, model: str
) -> Framer:
    """The stream format of the request's API."""
    if asked.api is Api.MESSAGES:
        return MessagesFramer(choices, answer_id=answer_id, model=model)
    if asked.api is Api.RESPONSES:
        return ResponsesFramer(choices, answer_id=answer_id, created=created, model=model)
    return ChatFramer(asked, choices, answer_id=answer_id, created=created, model=model)
