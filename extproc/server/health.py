"""gRPC health (grpc.health.v1) under the three names of the endpoint-picker protocol 004."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, TypeAlias

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2

from extproc.server.servicer import SERVICE_NAME as EXT_PROC_SERVICE

_LIVENESS = "liveness"
_READINESS = ("", "readiness", EXT_PROC_SERVICE)
_WATCH_SECONDS = 0.5

CHECK_SECONDS = 1.0
"""Interval in which Envoy asks, as it is rendered."""

UNHEALTHY_CHECKS = 2
"""Answers in a row after which Envoy sends nothing more, as it is rendered."""

_GONE_SECONDS = 1.5 * CHECK_SECONDS
"""Whoever has not asked for this long does not ask regularly, or is gone."""

_Context: TypeAlias = grpc.aio.ServicerContext[health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse]


class HealthService:
    """Answers health checks; `liveness` holds as long as the process answers, the other names only while serving.

    Attributes:
        serving: Set by whoever starts and drains the service.
    """

    def __init__(self) -> None:
        self.serving = False
        self._asked: dict[str, tuple[float, int]] = {}

    @property
    def is_awaited(self) -> bool:
        """True while somebody who asks as often as Envoy does was not told often enough that nothing is served."""
        oldest = asyncio.get_running_loop().time() - _GONE_SECONDS
        return any(at > oldest and told < UNHEALTHY_CHECKS for at, told in self._asked.values())

    def rpc_handler(self) -> grpc.GenericRpcHandler[Any, Any]:
        """Return what `grpc.aio.Server.add_generic_rpc_handlers` wants."""
        decode = health_pb2.HealthCheckRequest.FromString
        encode = health_pb2.HealthCheckResponse.SerializeToString
        return grpc.method_handlers_generic_handler(
            "grpc.health.v1.Health",
            {
                "Check": grpc.unary_unary_rpc_method_handler(self._check, decode, encode),
                "Watch": grpc.unary_stream_rpc_method_handler(self._watch, decode, encode),
            },
        )

    def _status(self, service: str) -> int | None:
        if service == _LIVENESS or (service in _READINESS and self.serving):
            return int(health_pb2.HealthCheckResponse.SERVING)
        if service in _READINESS:
            return int(health_pb2.HealthCheckResponse.NOT_SERVING)
        return None

    async def _check(
        self, request: health_pb2.HealthCheckRequest, context: _Context
    ) -> health_pb2.HealthCheckResponse:
        status = self._status(request.service)
        if status is None:
            await context.abort(
                grpc.StatusCode.NOT_FOUND, "no such service; see endpoint-picker protocol 004"
            )
        if request.service in _READINESS:
            self._note(context.peer())
        return health_pb2.HealthCheckResponse(status=status)

    def _note(self, peer: str) -> None:
        """Note who asked, and how often in a row it heard that nothing is served; forget who is gone."""
        now = asyncio.get_running_loop().time()
        told = 0 if self.serving else self._asked.get(peer, (now, 0))[1] + 1
        self._asked = {one: seen for one, seen in self._asked.items() if seen[0] > now - _GONE_SECONDS}
        self._asked[peer] = (now, told)

    async def _watch(
        self, request: health_pb2.HealthCheckRequest, _context: _Context
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        told: int | None = None
        while True:
            status = self._status(request.service)
            if status is None:
                status = int(health_pb2.HealthCheckResponse.SERVICE_UNKNOWN)
            if status != told:
                told = status
                yield health_pb2.HealthCheckResponse(status=status)
            await asyncio.sleep(_WATCH_SECONDS)
