from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web

from extproc.protocol import names
from tests.envoy_config.talk import (
    decided,
    events,
    failing,
    log_entries,
    metadata_of,
    post,
)

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]


async def test_a_decided_body_is_not_parsed_by_envoy(gateway: Any) -> None:
    """Envoy reads `model` out of the body only where nobody decided."""
    pattern = "json_to_metadata.rq"
    gateway.stub.decide = decided(gateway.upstreams["a1"].address, cluster="a-short")
    before = sum((await gateway.counters(pattern)).values())
    await post(gateway, {"model": "a"})
    after_decided = sum((await gateway.counters(pattern)).values())
    gateway.reset()
    await post(gateway, {"model": "a"})
    after_fallback = sum((await gateway.counters(pattern)).values())

    assert before == after_decided
    assert before < after_fallback


PLAIN_USAGE = [
    ({"usage": {"prompt_tokens": 3, "completion_tokens": 5}}, {"prompt_tokens": 3, "completion_tokens": 5}),
    ({"usage": {"input_tokens": 3, "output_tokens": 5}}, {"prompt_tokens": 3, "completion_tokens": 5}),
    ({"usage": {"prompt_tokens": 3, "total_tokens": 3}}, {"prompt_tokens": 3}),
    ({"usage": None}, {}),
    ({"object": "chat.completion"}, {}),
    ({"usage": {"prompt_tokens": 0}}, {"prompt_tokens": 0}),
]


@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8"])
@pytest.mark.parametrize(("body", "expected"), PLAIN_USAGE)
async def test_usage_of_a_plain_answer_is_logged(
    gateway: Any, content_type: str, body: dict[str, Any], expected: dict[str, int]
) -> None:
    """Usage reaches the access log in one form; what was not reported is absent, not zero."""

    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(body=json.dumps(body).encode(), headers={"content-type": content_type})

    gateway.upstreams["b1"].answer = answer

    got = await post(gateway, {"model": "b"})

    [entry] = await log_entries(gateway, got)
    assert expected == metadata_of(entry, names.USAGE_NAMESPACE)


CHAT = '{"choices":[{"delta":{"content":"x"}}]%s}'


STREAMED_USAGE = [
    pytest.param(
        [
            CHAT % "",
            CHAT % ',"usage":null',
            '{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":5}}',
            "[DONE]",
        ],
        {"prompt_tokens": 3, "completion_tokens": 5},
        id="chat",
    ),
    pytest.param([CHAT % "", "[DONE]"], {}, id="without usage"),
    pytest.param(
        [
            '{"type":"message_start","message":{"usage":{"input_tokens":3,"output_tokens":1}}}',
            '{"type":"message_delta","usage":{"output_tokens":5}}',
        ],
        {"prompt_tokens": 3, "completion_tokens": 5},
        id="messages",
    ),
    pytest.param(
        [
            '{"type":"response.created","response":{"usage":null}}',
            '{"type":"response.completed","response":{"text":"%s","usage":{"input_tokens":3,"output_tokens":5}}}'
            % ("x" * 100_000),
        ],
        {"prompt_tokens": 3, "completion_tokens": 5},
        id="responses with a long last event",
    ),
]


@pytest.mark.parametrize(("lines", "expected"), STREAMED_USAGE)
async def test_usage_of_a_stream_is_logged(gateway: Any, lines: list[str], expected: dict[str, int]) -> None:
    """Usage of a stream reaches the access log, also from an event larger than Envoy's default limit."""
    gateway.upstreams["b1"].answer = events(*lines)

    got = await post(gateway, {"model": "b"})

    [entry] = await log_entries(gateway, got)
    assert expected == metadata_of(entry, names.USAGE_NAMESPACE)


async def test_a_stream_is_not_held_back(gateway: Any) -> None:
    """The first event arrives while the instance is still working on the second."""
    go_on = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"data: {}\n\n")
        await asyncio.wait_for(go_on.wait(), timeout=5)
        await response.write(b"data: [DONE]\n\n")
        return response

    gateway.upstreams["a1"].answer = answer
    gateway.stub.decide = decided(gateway.upstreams["a1"].address, cluster=names.UNION_CLUSTER)
    async with gateway.client.post(f"{gateway.url}/v1/completions", json={"model": "a"}) as response:
        first = await asyncio.wait_for(response.content.readany(), timeout=3)
        go_on.set()
        rest = await response.content.read()

    assert b"data: {}\n\n" == first
    assert b"data: [DONE]\n\n" == rest


async def test_an_eight_megabyte_prompt_passes_both_filters(gateway: Any) -> None:
    """A long prompt reaches the service and the instance whole, also on a retry."""
    ups = gateway.upstreams
    ups["a1"].answer = failing(500)
    hosts = (ups["a1"].address, ups["a3"].address)
    sizes: list[int] = []
    choose = decided(*hosts, cluster=names.UNION_CLUSTER, retries=1)

    def decide(body: bytes) -> SimpleNamespace:
        sizes.append(len(body))
        return choose(body)

    gateway.stub.decide = decide
    body = b'{"model":"a","prompt":"' + b"x" * 8_000_000 + b'"}'

    answer = await post(gateway, body)

    assert 200 == answer.status
    assert [len(body)] == sizes
    assert [body == item.body for key in ("a1", "a3") for item in ups[key].received] == [True, True]


async def test_a_plain_answer_of_four_megabytes_passes(gateway: Any) -> None:
    """Reading usage out of a large answer (embeddings) does not cut it."""
    text = json.dumps({"data": "x" * 4_000_000, "usage": {"prompt_tokens": 9}})

    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(text=text, content_type="application/json")

    gateway.upstreams["b1"].answer = answer

    got = await post(gateway, {"model": "b"}, path="/v1/embeddings")

    assert text.encode() == got.body
    [entry] = await log_entries(gateway, got)
    assert {"prompt_tokens": 9} == metadata_of(entry, names.USAGE_NAMESPACE)


async def test_a_body_over_the_limit_gets_an_openai_shaped_413(gateway: Any) -> None:
    """20 MB are refused by Envoy in the shape that OpenAI's clients read."""
    answer = await post(gateway, b"x" * 20_000_000)

    assert 413 == answer.status
    error = json.loads(answer.body)["error"]
    assert ("RequestEntityTooLargeError", "body-too-large", None) == (
        error["type"],
        error["code"],
        error["param"],
    )
    assert "body-too-large" == answer.headers[names.ERROR_REASON]
    assert "application/json" == answer.headers["content-type"]


async def test_events_that_are_no_objects_pass_on_other_paths(gateway: Any) -> None:
    """Envoy's reader of events, which a bare number kills, is kept away from streams of unknown making."""
    gateway.upstreams["b1"].answer = events("1", "null", '"x"')
    gateway.stub.decide = decided(gateway.upstreams["b1"].address, cluster="b-short")

    answers = [await post(gateway, {}, path="/tokenize") for _ in range(2)]

    assert [b'data: 1\n\ndata: null\n\ndata: "x"\n\n'] * 2 == [answer.body for answer in answers]
