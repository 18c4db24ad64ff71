from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from typing import Any

import orjson
import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

Chat = Callable[..., dict[str, Any]]


async def test_auto_is_rewritten_to_the_chosen_model(gateway: Any, chat: Chat) -> None:
    """The instance receives its own model name, a right content length, and nothing else of the body changed."""
    body = orjson.dumps(chat("Grüß dich, 世界"))
    status, headers, answer = await gateway.ask(body)
    (request,) = await gateway.received()

    expected = body.replace(b'"auto"', orjson.dumps(answer["model"]))
    assert 200 == status
    assert (answer["model"], hashlib.sha256(expected).hexdigest()) == (
        request["model"],
        request["body_sha256"],
    )
    assert str(len(expected)) == dict(request["headers"])["content-length"]
    assert request["address"] == headers["x-inference-pod"]


async def test_a_concrete_model_restricts_the_choice_and_keeps_the_body(gateway: Any, chat: Chat) -> None:
    """Only instances of the named model serve, and they get the client's very bytes."""
    body = orjson.dumps(chat(model="model-b"), option=orjson.OPT_INDENT_2)
    answers = await asyncio.gather(*(gateway.ask(body) for _ in range(8)))
    requests = await gateway.received()

    assert {200} == {status for status, _, _ in answers}
    assert set(gateway.instances("b-short")) == {request["address"] for request in requests}
    assert {hashlib.sha256(body).hexdigest()} == {request["body_sha256"] for request in requests}


async def test_a_configured_alias_stands_for_its_models(gateway: Any, chat: Chat) -> None:
    """`fast` is model-b here, and the instance is asked for model-b."""
    status, _, answer = await gateway.ask(chat(model="fast"))
    (request,) = await gateway.received()

    assert (200, "model-b", "model-b") == (status, answer["model"], request["model"])


async def test_the_token_budget_chooses_the_pool(gateway: Any, chat: Chat) -> None:
    """A prompt beyond the short pool's threshold is served by the long pool, a short one by the short pool."""
    _, short, _ = await gateway.ask(chat("Say hello.", model="model-a"))
    _, long, answer = await gateway.ask(
        chat("The quick brown fox jumps over the dog. " * 800, model="model-a")
    )

    assert short["x-inference-pod"] in gateway.instances("a-short")
    assert long["x-inference-pod"] in gateway.instances("a-long")
    assert answer["usage"]["prompt_tokens"] > 4096


async def test_the_stated_output_counts_towards_the_budget(gateway: Any, chat: Chat) -> None:
    """A short prompt that asks for a long answer goes where the answer is not cut."""
    _, headers, _ = await gateway.ask(chat(model="model-a", max_tokens=8000))

    assert headers["x-inference-pod"] in gateway.instances("a-long")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/completions", {"prompt": "Once upon a time"}),
        ("/v1/completions", {"prompt": [1, 2, 3, 4]}),
        ("/v1/completions", {"prompt": ["one", "two"]}),
        ("/v1/embeddings", {"input": "some text"}),
        ("/v1/responses", {"input": "some text"}),
        ("/v1/messages", {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 10}),
        (
            "/v1/chat/completions",
            {
                "messages": [
                    {"role": "system", "content": "Be brief."},
                    {"role": "user", "content": [{"type": "text", "text": "What is this?"}]},
                ],
                "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
                "an_unknown_field": {"is": "tolerated"},
            },
        ),
    ],
)
async def test_each_api_is_understood(gateway: Any, path: str, body: dict[str, Any]) -> None:
    """Every API that carries a model reaches an instance of a chosen model."""
    status, _, answer = await gateway.ask({"model": "auto", **body}, path=path)

    assert 200 == status, answer
    assert {"model-a", "model-b"} >= {request["model"] for request in await gateway.received()}


async def test_requests_without_a_model_pass_through(gateway: Any) -> None:
    """A bodyless request and a path that carries no model here reach an instance; one that is not listed reaches nobody."""
    async with gateway.session.get(gateway.url + "/version") as response:
        version = await response.json()
    plain = {"content-type": "text/plain"}
    async with gateway.post(b"anything", path="/tokenize", headers=plain) as other:
        assert "x-ttca-instance" in other.headers
    async with gateway.post(b"", path="/pause", headers=plain) as closed:
        error = (await closed.json())["error"]

    assert "version" in version
    assert (404, "path-not-found") == (closed.status, error["code"])
    assert "x-ttca-instance" not in closed.headers
    await gateway.settle_empty()


async def test_streams_flow_and_carry_usage(gateway: Any, chat: Chat) -> None:
    """A streamed answer arrives in many chunks, ends with [DONE], and its usage chunk passes."""
    body = chat(stream=True, tokens=400, max_tokens=500, stream_options={"include_usage": True})
    async with gateway.post(body) as response:
        chunks = [chunk async for chunk in response.content.iter_any()]
    events = b"".join(chunks).split(b"\n\n")

    assert len(chunks) > 3
    assert b"data: [DONE]" == events[-2]
    assert 400 == orjson.loads(events[-3].removeprefix(b"data: "))["usage"]["completion_tokens"]


async def test_load_spreads_over_instances(gateway: Any, chat: Chat) -> None:
    """Requests that arrive together do not all see the same idle instance."""
    answers = await asyncio.gather(*(gateway.ask(chat(model="model-a", tokens=60)) for _ in range(12)))
    counts = [len(await gateway.received(address)) for address in gateway.instances("a-short")]

    assert {200} == {status for status, _, _ in answers}
    assert [4, 4, 4] == sorted(counts)


async def test_header_mutations_are_never_rejected(gateway: Any, chat: Chat) -> None:
    """Envoy applies everything that a decision sets; a rejected mutation would vanish without a trace."""
    await gateway.ask(chat())

    assert 0 == await gateway.counter("rejected_header_mutations")
