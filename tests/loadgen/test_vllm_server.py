from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import aiohttp
import orjson
import pytest

from loadgen.vllm.instance import Instance
from loadgen.vllm.spec import InstanceSpec
from loadgen.vllm_server import running_instances

SPEC = InstanceSpec(
    model="tiny-a",
    aliases=("auto",),
    max_model_len=400,
    max_num_seqs=4,
    max_num_batched_tokens=512,
    kv_blocks=64,
    time_scale=0.05,
    stream_flush_seconds=0.002,
)
HELLO = [{"role": "user", "content": "Tell me something about the weather."}]
SLOW = {"messages": HELLO, "ttca_sim": {"output_tokens": 350}}


class Client:
    """Talks to one instance."""

    def __init__(self, instance: Instance, session: aiohttp.ClientSession) -> None:
        self.instance = instance
        self.session = session

    def url(self, path: str) -> str:
        return f"http://{self.instance.address}{path}"

    async def post(self, path: str, body: Any, **headers: str) -> tuple[int, Any]:
        data = body if isinstance(body, bytes) else orjson.dumps(body)
        async with self.session.post(self.url(path), data=data, headers=headers) as answer:
            return answer.status, orjson.loads(await answer.read())

    async def stream(self, path: str, body: dict[str, Any]) -> list[Any]:
        async with self.session.post(self.url(path), json={**body, "stream": True}) as answer:
            assert answer.status == 200
            assert answer.content_type == "text/event-stream"
            text = (await answer.read()).decode()
        lines = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
        return [line if line == "[DONE]" else orjson.loads(line) for line in lines]

    async def get(self, path: str) -> tuple[int, str]:
        async with self.session.get(self.url(path)) as answer:
            return answer.status, await answer.text()

    async def metric(self, name: str) -> float:
        _, page = await self.get("/metrics")
        return sum(
            float(line.split()[-1]) for line in page.splitlines() if line.startswith((name + "{", name + " "))
        )

    async def until(self, name: str, value: float) -> None:
        async with asyncio.timeout(5):
            while await self.metric(name) != value:
                await asyncio.sleep(0.005)


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """A client session."""
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
async def client(session: aiohttp.ClientSession) -> AsyncIterator[Client]:
    """A client of an instance of its own."""
    async with running_instances([SPEC]) as (instance,):
        yield Client(instance, session)


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


async def test_a_full_queue_is_a_503(session: aiohttp.ClientSession) -> None:
    """Beyond max_num_queued_reqs vLLM's 503 comes at once, and is counted."""
    async with running_instances([replace(SPEC, max_num_queued_reqs=1)]) as (instance,):
        client = Client(instance, session)
        first = asyncio.create_task(client.post("/v1/chat/completions", SLOW))
        await client.until("vllm:num_requests_running", 1)
        status, answer = await client.post("/v1/chat/completions", SLOW)
        assert (503, "Service Unavailable") == (status, answer["error"]["type"])
        assert await client.metric("vllm:admission_rejections_total") == 1
        assert (await first)[0] == 200


async def test_x_return_error_returns_that_error(client: Client) -> None:
    """The header asks for one answer with that status, whatever the body."""
    status, answer = await client.post(
        "/v1/chat/completions", {"messages": HELLO}, **{"X-Return-Error": "503"}
    )
    assert (503, 503) == (status, answer["error"]["code"])


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


async def test_a_client_that_leaves_frees_its_place(client: Client) -> None:
    """A closed connection aborts the request in the engine, streamed or not."""
    for stream in (True, False):
        task = asyncio.create_task(client.post("/v1/chat/completions", {**SLOW, "stream": stream}))
        await client.until("vllm:num_requests_running", 1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await client.until("vllm:num_requests_running", 0)
    assert await client.metric("vllm:kv_cache_usage_perc") == 0
    _, page = await client.get("/metrics")
    assert 'vllm:request_success_total{engine="0",finished_reason="abort",model_name="tiny-a"} 2.0' in page


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


async def test_faults_are_switched_while_it_runs(client: Client) -> None:
    """An error rate of 1 fails every request with that status, until it is switched off."""
    await client.post("/admin/config", {"error_rate": 1.0, "error_status": 502})
    assert (await client.post("/v1/chat/completions", {"messages": HELLO}))[0] == 502
    await client.post("/admin/config", {"error_rate": 0.0})
    assert (await client.post("/v1/chat/completions", {"messages": HELLO}))[0] == 200


async def test_a_hanging_request_is_never_answered(client: Client) -> None:
    """hang_rate 1 leaves the client waiting; other paths still answer."""
    await client.post("/admin/config", {"hang_rate": 1.0})
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await client.post("/v1/chat/completions", {"messages": HELLO})
    assert (await client.get("/health"))[0] == 200


async def test_a_dropped_connection_has_no_answer(client: Client) -> None:
    """disconnect_rate 1 resets the connection instead of answering."""
    await client.post("/admin/config", {"disconnect_rate": 1.0})
    with pytest.raises(aiohttp.ClientError):
        await client.post("/v1/chat/completions", {"messages": HELLO})


async def test_a_dead_engine_is_unhealthy_and_answers_500(client: Client) -> None:
    """Running plain requests get 500, running streams an error event; health is 503."""
    plain = asyncio.create_task(client.post("/v1/chat/completions", SLOW))
    stream = asyncio.create_task(client.stream("/v1/chat/completions", SLOW))
    await client.until("vllm:num_requests_running", 2)
    await client.post("/admin/config", {"engine_dead": True})
    assert (await plain)[0] == 500
    *_, error, done = await stream
    assert (500, "[DONE]") == (error["error"]["code"], done)
    assert (await client.get("/health"))[0] == 503
    assert (await client.post("/v1/chat/completions", {"messages": HELLO}))[0] == 500


async def test_a_crash_refuses_connections_until_it_recovers(client: Client) -> None:
    """A crashed instance resets what runs and listens no more; it comes back on the same port."""
    running = asyncio.create_task(client.post("/v1/chat/completions", SLOW))
    await client.until("vllm:num_requests_running", 1)
    await client.instance.crash()
    with pytest.raises(aiohttp.ClientError):
        await running
    with pytest.raises(aiohttp.ClientConnectorError):
        await client.get("/health")
    await client.instance.recover()
    assert (await client.post("/v1/chat/completions", {"messages": HELLO}))[0] == 200


async def test_a_crash_can_be_ordered_with_its_end(client: Client) -> None:
    """Over HTTP a crash names its length, since nobody could end it afterwards."""
    assert (await client.post("/admin/config", {"crash": True, "recover_after_seconds": 0.05}))[0] == 200
    async with asyncio.timeout(5):
        while client.instance.is_listening:
            await asyncio.sleep(0.005)
        while not client.instance.is_listening:
            await asyncio.sleep(0.005)
    assert (await client.get("/health"))[0] == 200


@pytest.mark.parametrize(
    "change",
    [
        {"error_rate": 2},
        {"error_rate": "1"},
        {"engine_dead": 1},
        {"nonsense": 1},
        {"time_scale": 0},
        {"error_status": 200},
        [],
        b"{",
    ],
)
async def test_a_wrong_switch_changes_nothing(client: Client, change: Any) -> None:
    """A bad change is refused whole, with what is wrong."""
    before = client.instance.faults
    status, answer = await client.post("/admin/config", change)
    assert status == 400
    assert answer["error"]
    assert before is client.instance.faults


async def test_admin_is_not_reachable_through_a_proxy(client: Client) -> None:
    """A request that Envoy forwarded gets 403, though it comes from this machine."""
    async with client.session.get(
        client.url("/admin/config"), headers={"x-envoy-expected-rq-timeout-ms": "1000"}
    ) as answer:
        assert answer.status == 403


async def test_admin_can_be_left_out(session: aiohttp.ClientSession) -> None:
    """Without admin there is no such path."""
    async with running_instances([SPEC], admin=False) as (instance,):
        assert (await Client(instance, session).get("/admin/config"))[0] == 404


async def test_the_clock_can_be_changed_under_load(client: Client) -> None:
    """A request that would take minutes ends soon after the clock is sped up."""
    await client.post("/admin/config", {"time_scale": 100.0})
    task = asyncio.create_task(client.post("/v1/chat/completions", SLOW))
    await client.until("vllm:num_requests_running", 1)
    await client.post("/admin/config", {"time_scale": 0.001})
    async with asyncio.timeout(5):
        assert (await task)[0] == 200


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


async def test_an_address_in_use_is_an_error_and_leaks_nothing(client: Client) -> None:
    """When one of several instances cannot listen, those started before are stopped."""
    with pytest.raises(OSError, match="address already in use"):
        async with running_instances([SPEC, replace(SPEC, address=client.instance.address)]):
            pass
    assert (await client.get("/health"))[0] == 200
