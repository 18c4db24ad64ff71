"""What the commands ask a running service, from outside: whether it serves, and what it has traced."""

from __future__ import annotations

import time
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import urlopen

import grpc
from grpc_health.v1 import health_pb2

_METHOD = "/grpc.health.v1.Health/Check"
_LONGEST_CALL_SECONDS = 3.0
_PAUSE_SECONDS = 0.2
_LONGEST_PAGE_SECONDS = 30.0


class NotServingError(Exception):
    """The service does not serve; the message says how that showed, and what to look at."""


def ask_health(address: str, service: str = "", *, wait_seconds: float = 0.0) -> None:
    """Return as soon as a service says by gRPC health that it serves.

    Args:
        address: Where it listens, `host:port` or `unix:/path`.
        service: Name within the health protocol; empty for the service as a whole.
        wait_seconds: How long to ask again while it does not serve; 0 asks once.

    Raises:
        NotServingError: It did not answer, or said that it does not serve, until the end.
    """
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            _ask_once(address, service)
        except NotServingError:
            if time.monotonic() + _PAUSE_SECONDS > deadline:
                raise
            time.sleep(_PAUSE_SECONDS)
        else:
            return


def _ask_once(address: str, service: str) -> None:
    # A pool of its own, so that one refused connection does not make the next call wait before it tries.
    with grpc.insecure_channel(address, options=(("grpc.use_local_subchannel_pool", 1),)) as channel:
        call = channel.unary_unary(
            _METHOD,
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        try:
            status = call(
                health_pb2.HealthCheckRequest(service=service), timeout=_LONGEST_CALL_SECONDS
            ).status
        except grpc.RpcError as error:
            raise NotServingError(_why(address, service, error)) from error
    if status != health_pb2.HealthCheckResponse.SERVING:
        raise NotServingError(f"{address} answers, but is not serving: it is starting or being stopped")


def _why(address: str, service: str, error: grpc.RpcError) -> str:
    if error.code() is grpc.StatusCode.NOT_FOUND:
        return f"{address} knows no {service!r}, expected liveness, readiness or nothing"
    return (
        f"{address} does not answer: {error.details()}\n"
        "Is the service running (`ttca serve`), and is this the service.listen of its fleet file?"
    )


def ask_traces(admin: str, last: int, **asked: str) -> bytes:
    """Read the page `/traces`: JSON of the newest `last` traces that have what is asked (see `TraceFilter`).

    Raises:
        NotServingError: Nobody answers at `admin`, or the answer is that the question cannot be understood.
    """
    query = urlencode({"last": last, **{field: word for field, word in asked.items() if word}})
    url = f"http://{admin}/traces?{query}"
    try:
        with urlopen(url, timeout=_LONGEST_PAGE_SECONDS) as response:
            page: bytes = response.read()
            return page
    except HTTPError as error:
        raise NotServingError(error.read().decode(errors="replace").strip() or str(error)) from error
    except (OSError, ValueError) as error:
        raise NotServingError(
            f"{url} does not answer ({error}). Is the service running, and is this its service.admin address?"
        ) from error
