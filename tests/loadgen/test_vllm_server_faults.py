from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import aiohttp
import pytest

from loadgen.vllm_server import running_instances
from tests.loadgen.vllm_client import HELLO, SLOW, SPEC, Client


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


async def test_an_answer_is_broken_off_in_the_middle(client: Client) -> None:
    """break_rate 1 resets the connection of a stream that has begun; plain answers are whole."""
    await client.post("/admin/config", {"break_rate": 1.0})
    with pytest.raises(aiohttp.ClientError):
        await client.stream("/v1/chat/completions", {"messages": HELLO})
    assert (await client.post("/v1/chat/completions", {"messages": HELLO}))[0] == 200


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
    await client.post("/admin/config", {"time_scale": 0.01})
    task = asyncio.create_task(client.post("/v1/chat/completions", SLOW))
    await client.until("vllm:num_requests_running", 1)
    await client.post("/admin/config", {"time_scale": 1000.0})
    async with asyncio.timeout(5):
        assert (await task)[0] == 200


async def test_an_address_in_use_is_an_error_and_leaks_nothing(client: Client) -> None:
    """When one of several instances cannot listen, those started before are stopped."""
    with pytest.raises(OSError, match="address already in use"):
        async with running_instances([SPEC, replace(SPEC, address=client.instance.address)]):
            pass
    assert (await client.get("/health"))[0] == 200
