from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from aiohttp import web

from extproc.gateway.endpoints import write_endpoints
from extproc.protocol import names
from tests.envoy_config.talk import (
    decided,
    failing,
    log_entries,
    metadata_of,
    post,
    until_counter,
    with_instances,
)

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]


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


async def test_requests_without_a_body_pass(gateway: Any) -> None:
    """A GET is decided on its headers alone."""
    gateway.stub.decide = decided(gateway.upstreams["a2"].address, cluster="a-short")
    async with gateway.client.get(f"{gateway.url}/v1/models") as response:
        assert 200 == response.status

    assert ["/v1/models"] == [item.path for item in gateway.upstreams["a2"].received]


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
