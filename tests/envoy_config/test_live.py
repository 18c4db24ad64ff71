from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web

from extproc.gateway.endpoints import write_endpoints
from extproc.protocol import names
from extproc.settings import Settings

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def post(
    gateway: Any, body: Any, path: str = "/v1/chat/completions", **headers: str
) -> SimpleNamespace:
    """Send a request and read the whole answer."""
    data = io.BytesIO(body if isinstance(body, bytes) else json.dumps(body).encode())
    sent = {"content-type": "application/json"} | {
        key.replace("_", "-"): value for key, value in headers.items()
    }
    async with gateway.client.post(f"{gateway.url}{path}", data=data, headers=sent) as response:
        text = await response.read()
        return SimpleNamespace(status=response.status, headers=response.headers, body=text)


def decided(
    *hosts: str, cluster: str, retries: int = 0, **metadata: Any
) -> Callable[[bytes], SimpleNamespace]:
    """Make the stub decide on a list of hosts."""
    headers = {names.MAX_RETRIES: str(retries), names.DECISION_ID: "d-1"}
    return lambda _: SimpleNamespace(
        cluster=cluster,
        hosts=hosts,
        headers=headers,
        metadata={names.DECISION_NAMESPACE: metadata},
        refusal=None,
    )


def failing(status: int = 503) -> Answer:
    """Answer with an error, as a vLLM server whose queue is full."""

    async def answer(request: web.Request) -> web.StreamResponse:
        return web.json_response({"error": {"message": "full"}}, status=status)

    return answer


def events(*lines: str) -> Answer:
    """Answer with server-sent events."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        for line in lines:
            await response.write(f"data: {line}\n\n".encode())
        await response.write_eof()
        return response

    return answer


async def log_entries(
    gateway: Any, answer: SimpleNamespace, log: str = names.REQUEST_LOG, count: int = 1
) -> Any:
    """Wait for the access-log entries of one request."""

    def found() -> list[Any]:
        request_id = answer.headers[names.REQUEST_ID]
        return [item for item in gateway.stub.entries(log) if item.request.request_id == request_id]

    await gateway.until(lambda: len(found()) >= count, f"{count} entries in {log}")
    return found()


def metadata_of(entry: Any, namespace: str) -> dict[str, Any]:
    """Read one namespace of an entry's dynamic metadata."""
    found = entry.common_properties.metadata.filter_metadata.get(namespace)
    return {} if found is None else found.to_dict()


async def test_a_decided_request_walks_the_list_with_the_same_body(gateway: Any) -> None:
    """Each retry goes to the next host of the list, with the body byte for byte."""
    ups = gateway.upstreams
    ups["a1"].answer = failing(503)
    gateway.stub.decide = decided(
        ups["a1"].address, ups["a2"].address, cluster="a-short", retries=1, pool="short"
    )
    body = json.dumps({"model": "a", "messages": [{"content": "ü" * 1000}]}).encode()

    answer = await post(gateway, body)

    assert 200 == answer.status
    assert [body] == [item.body for item in ups["a1"].received] == [item.body for item in ups["a2"].received]
    assert "2" == answer.headers["x-envoy-attempt-count"]
    [entry] = await log_entries(gateway, answer)
    assert 2 == entry.common_properties.upstream_request_attempt_count
    assert {"pool": "short"} == metadata_of(entry, names.DECISION_NAMESPACE)
    assert {names.DESTINATION_SERVED: ups["a2"].address} == metadata_of(entry, names.LB_NAMESPACE)
    assert {"prompt_tokens": 11, "completion_tokens": 7} == metadata_of(entry, names.USAGE_NAMESPACE)
    assert "d-1" == entry.request.request_headers[names.DECISION_ID]
    tries = await log_entries(gateway, answer, names.ATTEMPT_LOG, count=2)
    assert [503, 200] == [item.response.response_code for item in tries]
    rejected = await gateway.counters("rejected_header_mutations")
    assert 0 == sum(rejected.values())


async def test_a_broken_connection_moves_on_and_a_host_is_not_tried_twice(gateway: Any) -> None:
    """A reset and an exhausted list both lead to a host that has not been tried."""
    ups = gateway.upstreams

    async def reset(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    ups["a1"].answer = reset
    gateway.stub.decide = decided(ups["a1"].address, cluster="a-short", retries=1)

    answer = await post(gateway, {"model": "a"})

    assert 200 == answer.status
    assert [1, 1] == [len(ups[key].received) for key in ("a1", "a2")]


async def test_a_last_failure_reaches_the_client_as_the_instance_said_it(gateway: Any) -> None:
    """When no retry is left the instance's own error body is delivered."""
    ups = gateway.upstreams
    ups["a1"].answer = failing(503)
    gateway.stub.decide = decided(ups["a1"].address, cluster="a-short", retries=0)

    answer = await post(gateway, {"model": "a"})

    assert 503 == answer.status
    assert {"error": {"message": "full"}} == json.loads(answer.body)
    assert 0 == len(ups["a2"].received)


async def test_an_answer_that_the_attempt_filter_marks_is_retried_in_another_cluster(gateway: Any) -> None:
    """In the union cluster a marked 200 is not delivered: the next host of the plan, of another deployment, is."""
    ups = gateway.upstreams
    hosts = (ups["a1"].address, ups["b1"].address)
    gateway.stub.decide = decided(*hosts, cluster=names.UNION_CLUSTER, retries=1)
    gateway.stub.mark_retry = lambda address: address == hosts[0]

    answer = await post(gateway, {"model": "a"})

    assert 200 == answer.status
    assert list(hosts) == gateway.stub.attempts
    assert [1, 1] == [len(ups[key].received) for key in ("a1", "b1")]


async def test_a_deployment_cluster_does_not_call_the_service_per_try(gateway: Any) -> None:
    """A plan that stays in one deployment costs no ATTEMPT exchange."""
    gateway.stub.decide = decided(gateway.upstreams["a1"].address, cluster="a-short")

    await post(gateway, {"model": "a"})

    assert [] == gateway.stub.attempts


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


@pytest.mark.parametrize("alive", [True, False])
async def test_control_headers_of_clients_steer_nothing(gateway: Any, alive: bool) -> None:
    """A client's destination, cluster and retry headers reach neither the service nor an instance."""
    ups = gateway.upstreams
    if not alive:
        await gateway.stub.stop()
    spoofed = dict.fromkeys(names.CONTROL_HEADERS, "x") | {
        names.DESTINATION: ups["b1"].address,
        names.CLUSTER: "b-short",
        names.MAX_RETRIES: "9",
        names.TIMEOUT: "1",
        "X-Envoy-Retry-On": "5xx",
        "x-envoy-force-trace": "1",
        "x-envoy-original-path": "/x",
        names.ROLE: "attempt",
    }

    answer = await post(gateway, {"model": "a"}, **spoofed)

    assert 200 == answer.status
    assert 0 == len(ups["b1"].received)
    [seen] = [item for key in ("a1", "a2", "a3") for item in ups[key].received]
    arrived = [seen.headers] + (gateway.stub.decide_headers if alive else [])
    own = {"x-envoy-expected-rq-timeout-ms", "x-envoy-attempt-count", "x-envoy-external-address"}
    for headers in arrived:
        leaked = {key for key in headers if key.startswith(("x-ttca", "x-envoy", "x-gateway"))} - own
        assert set() == leaked
    assert "300000" == seen.headers["x-envoy-expected-rq-timeout-ms"]


async def test_request_ids_are_envoys_and_the_clients_own_is_kept_beside(gateway: Any) -> None:
    """Two requests with one id stay two requests; the client finds its id where it did not steer."""
    for _ in range(2):
        await post(gateway, {"model": "b"}, x_request_id="mine")

    first, second = (item.headers for item in gateway.upstreams["b1"].received)
    assert first[names.REQUEST_ID] != second[names.REQUEST_ID]
    assert "mine" not in (first[names.REQUEST_ID], second[names.REQUEST_ID])
    assert "mine" == first["x-client-request-id"] == second["x-client-request-id"]


async def test_a_client_without_a_request_id_gets_ours(gateway: Any) -> None:
    """Nothing is made up for the client's side, and the answer names the id that the logs carry."""
    answer = await post(gateway, {"model": "b"})

    [seen] = gateway.upstreams["b1"].received
    assert "x-client-request-id" not in seen.headers
    assert seen.headers[names.REQUEST_ID] == answer.headers[names.REQUEST_ID]


async def test_a_trace_of_the_client_is_continued(gateway: Any) -> None:
    """Envoy's spans and the service's call carry the client's trace id, each try with a span of its own."""
    ups = gateway.upstreams
    ups["a1"].answer = failing(503)
    gateway.stub.decide = decided(ups["a1"].address, ups["a2"].address, cluster="a-short", retries=1)
    trace = "0af7651916cd43dd8448eb211c80319c"

    await post(gateway, {"model": "a"}, traceparent=f"00-{trace}-b7ad6b7169203331-01")

    def spans() -> list[Any]:
        return [span for span in gateway.stub.spans if span.trace_id.hex() == trace]

    await gateway.until(lambda: len(spans()) >= 4, "ingress, ext_proc and two egress spans")
    egress = [span for span in spans() if "router" in span.name]
    assert 2 == len({span.span_id for span in egress})
    assert trace == ups["a2"].received[0].headers[names.TRACEPARENT].split("-")[1]


async def test_a_client_that_does_not_sample_is_not_traced(gateway: Any) -> None:
    """The caller's sampled flag decides, whatever the ratio."""
    trace = "1af7651916cd43dd8448eb211c80319c"

    await post(gateway, {"model": "a"}, traceparent=f"00-{trace}-b7ad6b7169203331-00")
    await post(gateway, {"model": "a"})

    await gateway.until(lambda: len(gateway.stub.spans) > 0, "spans of the second request")
    assert trace not in {span.trace_id.hex() for span in gateway.stub.spans}


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
    assert ("RequestEntityTooLargeError", 413, None) == (error["type"], error["code"], error["param"])
    assert "application/json" == answer.headers["content-type"]


async def test_the_services_own_refusal_is_left_alone(gateway: Any) -> None:
    """What the service answers itself reaches the client as it is."""
    text = '{"error": {"message": "no such model"}}'
    gateway.stub.decide = lambda _: SimpleNamespace(refusal=(404, "ttca_model_not_found", text))

    answer = await post(gateway, {"model": "zzz"})

    assert (404, text) == (answer.status, answer.body.decode())


async def test_a_cluster_that_envoy_does_not_know_gets_an_openai_shaped_503(gateway: Any) -> None:
    """A decision for a cluster that is not rendered is an error of ours, told in OpenAI's shape."""
    gateway.stub.decide = decided("127.0.0.1:1", cluster="nowhere")

    answer = await post(gateway, {"model": "a"})

    assert 503 == answer.status
    assert "ServiceUnavailableError" == json.loads(answer.body)["error"]["type"]


async def test_without_the_service_a_model_is_still_served_by_its_instances(gateway: Any) -> None:
    """With the service dead, a concrete model name reaches an instance that has it, and `auto` anyone."""
    await gateway.stub.stop()
    ups = gateway.upstreams

    statuses = [(await post(gateway, {"model": "b"})).status for _ in range(4)]
    statuses += [(await post(gateway, {"model": "auto"})).status for _ in range(12)]

    assert {200} == set(statuses)
    models = {
        key: [json.loads(item.body)["model"] for item in upstream.received] for key, upstream in ups.items()
    }
    assert 4 == models["b1"].count("b")
    assert not any("b" in models[key] for key in ("a1", "a2", "a3"))
    assert sum(bool(seen) for seen in models.values()) >= 3
    assert [] == gateway.stub.decide_headers


async def test_without_the_service_failures_are_still_retried(gateway: Any) -> None:
    """The fallback route retries on another instance of the same model."""
    await gateway.stub.stop()
    ups = gateway.upstreams
    ups["a1"].answer = failing(503)
    ups["a2"].answer = failing(500)

    statuses = [(await post(gateway, {"model": "a"})).status for _ in range(3)]

    assert [200, 200, 200] == statuses
    assert 0 == len(ups["b1"].received)


@pytest.mark.parametrize(("model", "expected"), [("a", "a3"), ("auto", "a3"), ("b", "b1")])
async def test_without_the_service_long_bodies_prefer_the_long_pool(
    gateway: Any, model: str, expected: str
) -> None:
    """A body beyond the short pool goes to the long one, or to the model's own pool when it has no other."""
    await gateway.stub.stop()

    statuses = [(await post(gateway, {"model": model, "prompt": "x" * 4000})).status for _ in range(4)]

    assert [200] * 4 == statuses
    assert 4 == len(gateway.upstreams[expected].received)


async def test_a_service_that_hangs_is_given_up_on(gateway: Any) -> None:
    """A decision that does not come in time is done without."""
    gateway.stub.delay_seconds = 3.0

    answer = await post(gateway, {"model": "b"})

    assert 200 == answer.status
    assert 1 == len(gateway.upstreams["b1"].received)


async def test_requests_without_a_body_pass(gateway: Any) -> None:
    """A GET is decided on its headers alone."""
    gateway.stub.decide = decided(gateway.upstreams["a2"].address, cluster="a-short")
    async with gateway.client.get(f"{gateway.url}/v1/models") as response:
        assert 200 == response.status

    assert ["/v1/models"] == [item.path for item in gateway.upstreams["a2"].received]


def with_instances(settings: Settings, cluster: str, *instances: dict[str, Any]) -> Settings:
    """Change the instances of one cluster."""
    tree = settings.model_dump()
    for item in tree["clusters"]:
        if item["name"] == cluster:
            item["instances"] = instances
    return Settings.model_validate(tree)


async def test_events_that_are_no_objects_pass_on_other_paths(gateway: Any) -> None:
    """Envoy's reader of events, which a bare number kills, is kept away from streams of unknown making."""
    gateway.upstreams["b1"].answer = events("1", "null", '"x"')
    gateway.stub.decide = decided(gateway.upstreams["b1"].address, cluster="b-short")

    answers = [await post(gateway, {}, path="/custom/stream") for _ in range(2)]

    assert [b'data: 1\n\ndata: null\n\ndata: "x"\n\n'] * 2 == [answer.body for answer in answers]


@pytest.mark.parametrize("draining", [True, False])
async def test_an_instance_leaves_without_harm_to_what_it_serves(gateway: Any, draining: bool) -> None:
    """A drained or removed instance finishes its request, gets no new one from Envoy's own choice, and may come back."""
    ups = gateway.upstreams
    go_on = asyncio.Event()

    async def slow(request: web.Request) -> web.StreamResponse:
        await asyncio.wait_for(go_on.wait(), timeout=10)
        return web.json_response({"slow": True})

    ups["a1"].answer = slow
    gateway.stub.decide = decided(ups["a1"].address, cluster="a-short")
    running = asyncio.create_task(post(gateway, {"model": "a"}))
    await gateway.until(lambda: len(ups["a1"].received) == 1, "the request at the instance")
    left = ({"address": ups["a1"].address, "draining": True},) if draining else ()
    changed = with_instances(gateway.settings, "a-short", *left, {"address": ups["a2"].address})
    healthy = "cluster.a-short.membership_healthy"
    try:
        written = write_endpoints(gateway.endpoints, changed.fleet())
        await until_counter(gateway, healthy, 1)
        gateway.stub.decide = decided(cluster="a-short")
        answers = [await post(gateway, {"model": "a"}) for _ in range(3)]
        go_on.set()
        finished = await running
    finally:
        write_endpoints(gateway.endpoints, gateway.settings.fleet())
        await until_counter(gateway, healthy, 2)
        await until_counter(gateway, "cluster.fleet.membership_healthy", 4)

    assert {"a-short.json", "fleet.json"} == set(written)
    assert [200, 200, 200] == [answer.status for answer in answers]
    assert 3 == len(ups["a2"].received)
    assert (200, {"slow": True}) == (finished.status, json.loads(finished.body))


async def until_counter(gateway: Any, name: str, value: int) -> None:
    """Wait at most three seconds until one of Envoy's gauges has a value."""
    for _ in range(60):
        if (await gateway.counters(name.replace(".", "[.]") + "$")).get(name) == value:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"{name} is not {value}: {await gateway.counters(name)}")
