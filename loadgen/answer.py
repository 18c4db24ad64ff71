"""Reads one answer as its bytes come in: first token, events, usage, errors. Knows no sockets and no clock."""

from __future__ import annotations

from typing import Any, Protocol

import orjson

MAX_EVENT_BYTES = 1 << 20
"""A server-sent event longer than this is counted but not parsed."""

MAX_PLAIN_BYTES = 16 << 20
"""A plain answer longer than this is counted but not parsed."""

_DONE = b"[DONE]"


class Answer(Protocol):
    """What has been learnt of an answer so far.

    Attributes:
        events: Server-sent events with data, `[DONE]` not counted; 0 for a plain answer.
        first_token_seconds: When the first piece of output arrived; None before, and for a plain answer.
        model: Model that answered; empty when the answer does not say.
        finish_reason: As the server gave it; empty before the end.
        prompt_tokens: Usage; None when not reported.
        completion_tokens: Usage; None when not reported.
        error: Error that came in the answer's body in spite of its status; empty when there was none.
        is_complete: True when the answer ended as its format demands.
    """

    events: int
    first_token_seconds: float | None
    model: str
    finish_reason: str
    prompt_tokens: int | None
    completion_tokens: int | None
    error: str
    is_complete: bool

    def feed(self, data: bytes, now: float) -> None:
        """Take the next bytes, which arrived at `now` (seconds)."""

    def close(self) -> None:
        """Learn that no more bytes will come."""


class _Facts:
    """The fields of `Answer`, and how one JSON object of either format fills them."""

    def __init__(self) -> None:
        self.events = 0
        self.first_token_seconds: float | None = None
        self.model = ""
        self.finish_reason = ""
        self.prompt_tokens: int | None = None
        self.completion_tokens: int | None = None
        self.error = ""
        self.is_complete = False

    def _learn(self, document: bytes) -> dict[str, Any] | None:
        """Take what one JSON object says; None when it is not a JSON object."""
        try:
            parsed = orjson.loads(document)
        except orjson.JSONDecodeError:
            self.error = self.error or f"not JSON: {document[:200].decode(errors='replace')}"
            return None
        if not isinstance(parsed, dict):
            self.error = self.error or "the answer is not a JSON object"
            return None
        if parsed.get("error"):
            self.error = self.error or orjson.dumps(parsed["error"]).decode()[:500]
        self.model = parsed.get("model") or self.model
        for choice in _objects(parsed.get("choices")):
            self.finish_reason = choice.get("finish_reason") or self.finish_reason
        usage = parsed.get("usage")
        if isinstance(usage, dict):
            self.prompt_tokens = usage.get("prompt_tokens", self.prompt_tokens)
            self.completion_tokens = usage.get("completion_tokens", self.completion_tokens)
        return parsed


class StreamedAnswer(_Facts):
    """An answer of server-sent events, which may be cut into pieces anywhere."""

    def __init__(self) -> None:
        super().__init__()
        self._carry = b""
        self._is_skipping = False

    def feed(self, data: bytes, now: float) -> None:
        """Take the next bytes, which arrived at `now` (seconds)."""
        *lines, self._carry = (self._carry + data).split(b"\n")
        for line in lines:
            if self._is_skipping:
                self._is_skipping = False
            else:
                self._take_line(line, now)
        if self._is_skipping or len(self._carry) > MAX_EVENT_BYTES:
            self.events += not self._is_skipping
            self._is_skipping = True
            self._carry = b""

    def close(self) -> None:
        """Learn that no more bytes will come; without `[DONE]` the answer stays incomplete."""
        self._carry = b""

    def _take_line(self, line: bytes, now: float) -> None:
        if not line.startswith(b"data:"):
            return
        payload = line[5:].strip()
        if payload == _DONE:
            self.is_complete = True
            return
        self.events += 1
        if not self._says_news(payload):
            return
        event = self._learn(payload)
        if event is not None and self.first_token_seconds is None and _has_output(event):
            self.first_token_seconds = now

    def _says_news(self, payload: bytes) -> bool:
        # Most events carry one token and nothing else: at high token rates, parsing all of them would make the
        # client the bottleneck of the measurement.
        is_one_token = b'"finish_reason":null' in payload or b'"finish_reason": null' in payload
        return self.first_token_seconds is None or not is_one_token or b'"error"' in payload


class PlainAnswer(_Facts):
    """An answer of one JSON document."""

    def __init__(self) -> None:
        super().__init__()
        self._body = bytearray()
        self._is_too_long = False

    def feed(self, data: bytes, now: float) -> None:  # noqa: ARG002 -- the time of a part says nothing
        """Take the next bytes."""
        if len(self._body) + len(data) > MAX_PLAIN_BYTES:
            self._is_too_long = True
        if not self._is_too_long:
            self._body += data

    def close(self) -> None:
        """Learn that no more bytes will come, and read the document."""
        self.is_complete = self._is_too_long or self._learn(bytes(self._body)) is not None
        self._body.clear()


def _has_output(event: dict[str, Any]) -> bool:
    """True when an event carries output; the first event of a chat only names the role."""
    for choice in _objects(event.get("choices")):
        if choice.get("text"):
            return True
        delta = choice.get("delta")
        if isinstance(delta, dict) and any(
            delta.get(name) for name in ("content", "reasoning_content", "reasoning", "tool_calls", "refusal")
        ):
            return True
    return False


def _objects(value: object) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
