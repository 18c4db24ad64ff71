"""Instances that cost next to nothing: every request gets one small answer with usage, every scrape one fixed page.

Run as `python -m loadgen.bench.upstream PORT...`.
"""

from __future__ import annotations

import asyncio
import sys
from typing import cast

import uvloop

from loadgen.engine.config import EngineConfig
from loadgen.engine.core import Engine
from loadgen.vllm.metrics import EngineMetrics

BYTES_PER_TOKEN = 4
"""What usage is reckoned from, so that the service has something plausible to learn."""

_ANSWER = (
    b'{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":'
    b'{"role":"assistant","content":"ok"},"finish_reason":"stop"}],"usage":{"prompt_tokens":%d,'
    b'"completion_tokens":96,"total_tokens":%d}}'
)


class Responder(asyncio.Protocol):
    """One connection of Envoy or of a scraper: HTTP/1.1, keep-alive, bodies with a content length.

    Args:
        page: What `GET /metrics` answers.
    """

    def __init__(self, page: bytes) -> None:
        self._page = page
        self._head = bytearray()
        self._body_left = 0
        self._answer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's class is none by inheritance

    def data_received(self, data: bytes) -> None:
        """Pass over a body without keeping it; answer at its end. A client that pipelines is not expected."""
        if not self._body_left:
            self._head += data
            end = self._head.find(b"\r\n\r\n")
            if end < 0:
                return
            head = bytes(self._head[:end])
            data = bytes(self._head[end + 4 :])
            self._head.clear()
            self._body_left = content_length(head)
            self._answer = self._answer_to(head, self._body_left)
        self._body_left -= len(data)
        if self._body_left <= 0 and self._transport is not None:
            self._body_left = 0
            self._transport.write(self._answer)

    def _answer_to(self, head: bytes, body_bytes: int) -> bytes:
        if head.startswith(b"POST"):
            tokens = body_bytes // BYTES_PER_TOKEN
            return _response(b"application/json", _ANSWER % (tokens, tokens + 96))
        if head.startswith(b"GET /metrics"):
            return _response(b"text/plain", self._page)
        return _response(b"text/plain", b"")


def content_length(head: bytes) -> int:
    """The body's size by a message's head; 0 when the head does not tell."""
    lower = head.lower()
    start = lower.find(b"\r\ncontent-length:")
    if start < 0:
        return 0
    return int(lower[start + 17 :].split(b"\r\n", 1)[0])


def metrics_page() -> bytes:
    """The page of an idle server."""
    config = EngineConfig(
        iteration_base_seconds=0.01, iteration_per_sequence_seconds=0.001, prefill_tokens_per_second=10_000
    )
    return EngineMetrics("m", config.max_model_len).render(Engine(config)).encode()


def _response(content_type: bytes, body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-type: %s\r\ncontent-length: %d\r\n\r\n%s" % (
        content_type,
        len(body),
        body,
    )


async def _serve(ports: list[int]) -> None:
    page = metrics_page()
    loop = asyncio.get_running_loop()
    for port in ports:
        await loop.create_server(lambda: Responder(page), "127.0.0.1", port)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(_serve([int(port) for port in sys.argv[1:]]))
