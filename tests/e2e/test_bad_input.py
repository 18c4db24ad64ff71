from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

Chat = Callable[..., dict[str, Any]]

HELLO = [{"role": "user", "content": "hello"}]
MIB = 1024 * 1024


def assert_openai_error(answer: Any, status: int) -> None:
    """An error object as OpenAI's clients expect it, that says something."""
    error = answer["error"]
    assert {"message", "type", "param", "code"} <= error.keys()
    assert len(error["message"]) > 10
    assert 400 <= status < 500


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", 400),
        (b"{", 400),
        (b"no healthy upstream", 400),
        (b"[1, 2]", 400),
        (b'"text"', 400),
        (b"\xff\xfe\x00{", 400),
        (b'{"model": "auto", "messages": "\xff\xfe"}', 400),
        (b"[" * 200_000, 400),
        (b'{"model":' * 50_000, 400),
        (orjson.dumps({"messages": HELLO}), 400),
        (orjson.dumps({"model": None, "messages": HELLO}), 400),
        (orjson.dumps({"model": 7, "messages": HELLO}), 400),
        (orjson.dumps({"model": "auto"}), 400),
        (orjson.dumps({"model": "auto", "messages": []}), 400),
        (orjson.dumps({"model": "auto", "messages": "hello"}), 400),
        (orjson.dumps({"model": "auto", "messages": HELLO, "max_tokens": -1}), 400),
        (orjson.dumps({"model": "auto", "messages": HELLO, "max_tokens": "many"}), 400),
        (orjson.dumps({"model": "auto", "messages": HELLO, "n": 0}), 400),
        (orjson.dumps({"model": "auto", "messages": HELLO, "stream": "perhaps"}), 400),
        (orjson.dumps({"model": "gpt-nobody", "messages": HELLO}), 404),
        (orjson.dumps({"model": "x" * 100_000, "messages": HELLO}), 404),
        (orjson.dumps({"model": "model-a", "messages": HELLO, "max_tokens": 100_000}), 400),
    ],
    ids=lambda value: repr(value[:48]) if isinstance(value, bytes) else str(value),
)
async def test_bad_bodies_get_a_clear_error(gateway: Any, body: bytes, expected: int) -> None:
    """Each mistake has the right status and an OpenAI-shaped error; never a 5xx."""
    async with gateway.post(body) as response:
        content = await response.read()
        status = response.status

    if body == b"":
        # Nothing to understand: passed through, and the instance answers itself.
        assert 400 <= status < 500
        return
    assert expected == status, content
    assert_openai_error(orjson.loads(content), status)


@pytest.mark.parametrize(
    "body",
    [
        b'{"model": "auto", "model": "model-b", "messages": [{"role": "user", "content": "hello"}]}',
        b'{"mod\\u0065l": "auto", "messages": [{"role": "user", "content": "\\ud83d\\ude00"}], "x": 1e400}',
        b'\xef\xbb\xbf{"model": "auto", "messages": [{"role": "user", "content": "hello"}]}',
        orjson.dumps(
            {
                "model": "auto",
                "messages": [*HELLO, {"role": "assistant", "content": None}, *HELLO],
                "max_tokens": None,
            }
        ),
    ],
    ids=["duplicate key", "escaped key", "byte-order mark", "nulls"],
)
async def test_odd_but_valid_bodies_are_routed(gateway: Any, body: bytes) -> None:
    """What a real vLLM would serve or judge itself reaches an instance of the right model."""
    async with gateway.post(body) as response:
        content = await response.read()
    requests = await gateway.received()

    assert response.status < 500, content
    assert len(requests) == 1
    if body.startswith(b'{"model": "auto", "model"'):
        assert "model-b" == requests[0]["model"]


async def test_a_request_that_fits_no_pool_is_told_the_limit(gateway: Any, chat: Chat) -> None:
    """The error has the estimate and the largest limit, and nobody was bothered."""
    status, headers, answer = await gateway.ask(chat("The quick brown fox jumps. " * 20_000, model="model-a"))

    assert (400, "context-length-exceeded") == (status, headers["x-ttca-error-reason"])
    assert_openai_error(answer, status)
    assert "65536" in answer["error"]["message"]
    assert [] == await gateway.received()


async def test_eight_megabytes_pass(gateway: Any) -> None:
    """A prompt of 8 MB is understood, and what an instance receives of it is what was sent."""
    text = "a" * (8 * MIB)
    body = orjson.dumps({"model": "model-a", "prompt": text, "max_tokens": 5})
    status, _, answer = await gateway.ask(body, path="/v1/completions")

    assert 400 == status, answer
    assert "context length" in answer["error"]["message"]
    tokens = orjson.dumps({"model": "auto", "input": "b", "padding": text})
    status, _, answer = await gateway.ask(tokens, path="/v1/embeddings")
    (request,) = await gateway.received()
    assert 200 == status, answer
    assert len(tokens) - len("auto") + len(request["model"]) == request["body_bytes"]


@pytest.mark.parametrize("size", [20 * MIB, 16 * MIB + 1])
async def test_too_large_a_body_is_refused(gateway: Any, size: int) -> None:
    """Beyond the configured limit the client gets 413 in OpenAI's shape."""
    async with gateway.post(b" " * size) as response:
        answer = orjson.loads(await response.read())

    assert 413 == response.status
    assert_openai_error(answer, response.status)


async def test_nothing_of_this_leaves_a_trace_on_the_book(gateway: Any) -> None:
    """After all the refusals nobody is charged, and Envoy never had to fail open."""
    await gateway.settle_empty()

    assert 0 == await gateway.counter("failure_mode_allowed")


async def test_a_mistyped_header_of_ours_is_refused(gateway: Any, chat: Chat) -> None:
    """Nobody takes a wish for heard that was not; headers of answers and of control, which Envoy strips, are nobody's mistake."""
    status, headers, answer = await gateway.ask(chat(), headers={"x-ttca-dedline-ms": "100"})
    error = answer["error"]

    assert (400, "x-ttca-dedline-ms", "invalid-header") == (status, error["param"], error["code"])
    assert "did you mean `x-ttca-deadline-ms`?" in error["message"]
    assert "invalid-header" == headers["x-ttca-error-reason"]
    stripped = {"x-ttca-cluster": "a-short", "x-ttca-verdict": "accepted"}
    status, _, _ = await gateway.ask(chat(), headers=stripped)
    assert 200 == status


async def test_models_are_listed_by_the_gateway(gateway: Any) -> None:
    """All of the fleet's and its aliases, not those of some instance; an unknown one is not found."""
    async with gateway.session.get(f"{gateway.url}/v1/models") as response:
        listed = await response.json()
    async with gateway.session.get(f"{gateway.url}/v1/models/model-b") as response:
        one = await response.json()
    async with gateway.session.get(f"{gateway.url}/v1/models/absent") as response:
        assert 404 == response.status
        assert_openai_error(await response.json(), 404)

    assert ["model-a", "model-b", "auto", "fast"] == [entry["id"] for entry in listed["data"]]
    assert ("model-b", 4096) == (one["id"], one["max_model_len"])
    assert [] == await gateway.received()


async def test_what_envoy_answers_itself_has_a_reason(gateway: Any, chat: Chat) -> None:
    """A request whose time is over, in the words that clients read; Envoy's own stand apart."""
    for address in gateway.stack.addresses:
        await gateway.faults(address, hang_rate=1.0)
    status, headers, answer = await gateway.ask(chat(), headers={"x-ttca-deadline-ms": "300"})
    error = answer["error"]

    assert (504, "timeout", "timeout") == (status, error["code"], headers["x-ttca-error-reason"])
    assert "x-ttca-deadline-ms" in error["message"]
    assert error["details"]
    await gateway.settle_empty()
