from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import aiohttp
import orjson
import pytest

from loadgen.vllm_server import running_instances
from tests.loadgen.vllm_client import HELLO, SPEC, Client


async def test_chat_answers_under_the_first_name_with_usage(client: Client) -> None:
    """An alias is accepted; the answer carries the first name, the length asked for and its usage."""
    body = {"model": "auto", "messages": HELLO, "ttca_sim": {"output_tokens": 5}}
    status, answer = await client.post("/v1/chat/completions", body)
    assert (200, "tiny-a") == (status, answer["model"])
    assert len(answer["choices"][0]["message"]["content"].split()) == 5
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert {"prompt_tokens": 14, "completion_tokens": 5, "total_tokens": 19} == answer["usage"]


async def test_a_stream_ends_with_usage_and_done(client: Client) -> None:
    """With include_usage the last chunk has no choices but usage; then comes [DONE]."""
    body = {"messages": HELLO, "stream_options": {"include_usage": True}, "ttca_sim": {"output_tokens": 30}}
    *chunks, usage, done = await client.stream("/v1/chat/completions", body)
    assert done == "[DONE]"
    assert [] == usage["choices"]
    assert {"prompt_tokens": 14, "completion_tokens": 30, "total_tokens": 44} == usage["usage"]
    assert {"role": "assistant", "content": ""} == chunks[0]["choices"][0]["delta"]
    assert [None] * 30 + ["stop"] == [chunk["choices"][0]["finish_reason"] for chunk in chunks]
    assert all("usage" not in chunk for chunk in chunks)


async def test_a_stream_says_what_the_plain_answer_says(client: Client) -> None:
    """Deltas in order make an answer as long as the plain one, and no usage is sent unasked."""
    chunks = await client.stream("/v1/completions", {"prompt": "a b", "n": 2, "max_tokens": 6})
    texts = ["", ""]
    for chunk in chunks[:-1]:
        texts[chunk["choices"][0]["index"]] += chunk["choices"][0]["text"]
        assert "usage" not in chunk
    assert [6, 6] == [len(text.split()) for text in texts]
    assert ["length", "length"] == [
        chunk["choices"][0]["finish_reason"] for chunk in chunks[:-1] if chunk["choices"][0]["finish_reason"]
    ]


async def test_usage_can_ride_on_every_chunk(client: Client) -> None:
    """With continuous_usage_stats each chunk counts the tokens so far."""
    options = {"include_usage": True, "continuous_usage_stats": True}
    body = {"messages": HELLO, "stream_options": options, "ttca_sim": {"output_tokens": 4}}
    *chunks, usage, _ = await client.stream("/v1/chat/completions", body)
    assert [0, 1, 2, 3, 4] == [chunk["usage"]["completion_tokens"] for chunk in chunks]
    assert usage["usage"]["completion_tokens"] == 4


async def test_equal_bodies_get_equal_answers(client: Client) -> None:
    """Lengths and words follow from body, model and seed."""
    answers = [await client.post("/v1/chat/completions", {"messages": HELLO}) for _ in range(2)]
    assert answers[0][1]["choices"] == answers[1][1]["choices"]


async def test_completions_take_several_prompts(client: Client) -> None:
    """Two prompts with n = 2 make four choices; each prompt is counted once."""
    body = {"prompt": [[1, 2, 3], [4, 5]], "n": 2, "max_tokens": 2, "ignore_eos": True}
    _, answer = await client.post("/v1/completions", body)
    assert [0, 1, 2, 3] == [choice["index"] for choice in answer["choices"]]
    assert {"prompt_tokens": 5, "completion_tokens": 8, "total_tokens": 13} == answer["usage"]


async def test_embeddings_are_prompt_only(client: Client) -> None:
    """One vector per input, no completion tokens; a prompt may fill the context."""
    _, answer = await client.post("/v1/embeddings", {"input": [[7] * 400, [7] * 3]})
    assert [0, 1] == [entry["index"] for entry in answer["data"]]
    assert {"prompt_tokens": 403, "total_tokens": 403, "completion_tokens": 0} == answer["usage"]


async def test_messages_have_anthropics_shape(client: Client) -> None:
    """Plain and streamed answers of /v1/messages carry input and output tokens."""
    body = {"model": "tiny-a", "messages": HELLO, "max_tokens": 4, "ignore_eos": True}
    _, answer = await client.post("/v1/messages", body)
    assert ("message", "max_tokens") == (answer["type"], answer["stop_reason"])
    assert {"input_tokens": 14, "output_tokens": 4} == answer["usage"]
    events = await client.stream("/v1/messages", body)
    assert ["message_start", "content_block_start"] == [event["type"] for event in events[:2]]
    assert ["content_block_stop", "message_delta", "message_stop"] == [event["type"] for event in events[-3:]]
    assert {"input_tokens": 14, "output_tokens": 4} == events[-2]["usage"]


async def test_responses_have_their_shape(client: Client) -> None:
    """Plain and streamed answers of /v1/responses agree on text and usage."""
    body = {"input": "hello there", "max_output_tokens": 4, "ttca_sim": {"output_tokens": 3}}
    _, answer = await client.post("/v1/responses", body)
    assert ("completed", 3) == (answer["status"], answer["usage"]["output_tokens"])
    events = await client.stream("/v1/responses", body)
    assert list(range(len(events))) == [event["sequence_number"] for event in events]
    deltas = "".join(event["delta"] for event in events if event["type"] == "response.output_text.delta")
    assert events[-1]["response"]["output"][0]["content"][0]["text"] == deltas


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        (
            {"model": "x", "messages": HELLO},
            404,
            {
                "message": "The model `x` does not exist.",
                "type": "NotFoundError",
                "param": "model",
                "code": 404,
            },
        ),
        (
            {"messages": [{"role": "user", "content": "word " * 500}]},
            400,
            {
                "message": "This model's maximum context length is 400 tokens. However, your prompt contains at "
                "least 401 input tokens, which exceeds this limit even without any output tokens. Please reduce "
                "the length of the input prompt. (parameter=input_tokens, value=401)",
                "type": "BadRequestError",
                "param": "input_tokens",
                "code": 400,
            },
        ),
        (
            {"messages": HELLO, "max_tokens": 401},
            400,
            {
                "message": "max_tokens=401 cannot be greater than max_model_len=400. Please request fewer output "
                "tokens. (parameter=max_tokens, value=401)",
                "type": "BadRequestError",
                "param": "max_tokens",
                "code": 400,
            },
        ),
    ],
)
async def test_refusals_use_vllms_words(
    client: Client, body: dict[str, Any], status: int, error: dict[str, Any]
) -> None:
    """Unknown models and too many tokens get vLLM 0.32's status, type, message and parameter."""
    assert (status, {"error": error}) == await client.post("/v1/chat/completions", body)


async def test_max_tokens_are_cut_to_the_context(client: Client) -> None:
    """As vLLM 0.32: prompt and max_tokens over the context is no error, the answer ends by length."""
    body = {"messages": HELLO, "max_tokens": 399, "ignore_eos": True}
    status, answer = await client.post("/v1/chat/completions", body)
    assert (200, "length") == (status, answer["choices"][0]["finish_reason"])
    assert answer["usage"]["total_tokens"] == 400


async def test_a_strict_instance_refuses_the_sum(session: aiohttp.ClientSession) -> None:
    """As vLLM before: prompt and max_tokens over the context is a 400 with the older wording."""
    async with running_instances([replace(SPEC, strict_context=True)]) as (instance,):
        status, answer = await Client(instance, session).post(
            "/v1/chat/completions", {"messages": HELLO, "max_tokens": 390}
        )
    assert (status, answer["error"]["param"]) == (400, "input_tokens")
    assert (
        "However, you requested 390 output tokens and your prompt contains at least 11 input"
        in (answer["error"]["message"])
    )


@pytest.mark.parametrize(
    "body", [b"{", b"\xff", b"[]", b"{}", {"messages": 3}, {"messages": HELLO, "max_tokens": -1}]
)
async def test_an_unreadable_body_is_a_400(client: Client, body: Any) -> None:
    """What is not JSON or has wrong types gets an OpenAI-shaped 400."""
    status, answer = await client.post("/v1/chat/completions", body)
    assert (400, 400) == (status, answer["error"]["code"])


async def test_every_answer_names_its_instance(client: Client) -> None:
    """x-inference-pod is the address, on answers, errors and pages."""
    for path in ("/health", "/v1/models", "/metrics"):
        async with client.session.get(client.url(path)) as answer:
            assert client.instance.address == answer.headers["x-inference-pod"]
    async with client.session.post(client.url("/v1/chat/completions"), data=b"{") as answer:
        assert client.instance.address == answer.headers["x-inference-pod"]


async def test_models_lists_every_name(client: Client) -> None:
    """The first name and each alias are listed with the context length."""
    _, text = await client.get("/v1/models")
    assert [("tiny-a", 400), ("auto", 400)] == [
        (card["id"], card["max_model_len"]) for card in orjson.loads(text)["data"]
    ]


async def test_the_journal_keeps_what_arrived(client: Client) -> None:
    """Requests are listed in order, with headers, body digest and model; clearing forgets them."""
    bodies = [
        orjson.dumps({"model": "auto", "messages": HELLO, "user": str(i), "max_tokens": 1}) for i in range(3)
    ]
    for number, body in enumerate(bodies):
        await client.post("/v1/chat/completions", body, **{"X-Request-Id": f"id-{number}"})
    _, text = await client.get("/admin/requests?last=2")
    journal = orjson.loads(text)
    assert journal["total"] == 3
    assert [hashlib.sha256(body).hexdigest() for body in bodies[1:]] == [
        entry["body_sha256"] for entry in journal["requests"]
    ]
    last = journal["requests"][-1]
    assert ["x-request-id", "id-2"] in last["headers"]
    assert ("POST", "/v1/chat/completions", "auto", len(bodies[2]), 200) == tuple(
        last[name] for name in ("method", "path", "model", "body_bytes", "status")
    )
    async with client.session.delete(client.url("/admin/requests")):
        assert [] == client.instance.journal.last()


async def test_metrics_count_what_was_done(client: Client) -> None:
    """Token counters, finish reasons and histograms follow the requests."""
    for tokens in (1, 7):
        await client.post("/v1/chat/completions", {"messages": HELLO, "ttca_sim": {"output_tokens": tokens}})
    assert [28, 8, 2, 2, 6] == [
        await client.metric(name)
        for name in (
            "vllm:prompt_tokens_total",
            "vllm:generation_tokens_total",
            "vllm:request_success_total",
            "vllm:time_to_first_token_seconds_count",
            "vllm:inter_token_latency_seconds_count",
        )
    ]
