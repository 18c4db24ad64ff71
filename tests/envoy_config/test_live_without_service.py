from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from tests.envoy_config.talk import (
    decided,
    failing,
    post,
)

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]


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
