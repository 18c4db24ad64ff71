from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2

from extproc.server.health import UNHEALTHY_CHECKS, HealthService

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
READINESS = ["", "readiness", "envoy.service.ext_proc.v3.ExternalProcessor"]


@pytest.fixture
async def world() -> AsyncIterator[tuple[HealthService, grpc.aio.Channel]]:
    """A health service on a free port and a channel to it."""
    health = HealthService()
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((health.rpc_handler(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield health, channel
    await server.stop(None)


def ask(channel: grpc.aio.Channel, service: str) -> Any:
    call = channel.unary_unary(
        "/grpc.health.v1.Health/Check",
        request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
        response_deserializer=health_pb2.HealthCheckResponse.FromString,
    )
    return call(health_pb2.HealthCheckRequest(service=service), timeout=5)


@pytest.mark.parametrize("name", READINESS)
async def test_readiness_follows_serving(world: Any, name: str) -> None:
    """The service, its readiness and ext_proc serve only between start and drain."""
    health, channel = world
    assert NOT_SERVING == (await ask(channel, name)).status

    health.serving = True
    assert SERVING == (await ask(channel, name)).status


async def test_liveness_holds_while_the_process_answers(world: Any) -> None:
    """A draining process is alive."""
    _, channel = world

    assert SERVING == (await ask(channel, "liveness")).status


async def test_an_unknown_service_is_not_found(world: Any) -> None:
    """The protocol of grpc.health.v1 asks for NOT_FOUND."""
    _, channel = world
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await ask(channel, "nobody")

    assert grpc.StatusCode.NOT_FOUND == caught.value.code()


async def test_watching_tells_of_changes(world: Any) -> None:
    """A watcher hears the status at once and again when it changes."""
    health, channel = world
    watch = channel.unary_stream(
        "/grpc.health.v1.Health/Watch",
        request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
        response_deserializer=health_pb2.HealthCheckResponse.FromString,
    )(health_pb2.HealthCheckRequest(service=""), timeout=10)
    first = await watch.read()
    health.serving = True
    second = await watch.read()
    watch.cancel()

    assert [NOT_SERVING, SERVING] == [first.status, second.status]


async def test_who_asks_regularly_is_awaited_until_it_was_told_often_enough(world: Any) -> None:
    """Envoy needs several answers in a row before it sends nothing more; who asks for liveness only sends nothing."""
    health, channel = world
    health.serving = True
    assert not health.is_awaited, "nobody asked"
    await ask(channel, "liveness")
    assert not health.is_awaited
    await ask(channel, "")
    health.serving = False

    awaited = []
    for _ in range(UNHEALTHY_CHECKS):
        awaited.append(health.is_awaited)
        await ask(channel, "")
    assert [True] * UNHEALTHY_CHECKS == awaited
    assert not health.is_awaited
