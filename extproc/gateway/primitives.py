"""The few shapes that every part of Envoy's configuration is made of."""

from __future__ import annotations

from datetime import timedelta

import betterproto2
from envoy_data_plane.envoy.config.core.v3 import (
    Address,
    GrpcService,
    GrpcServiceEnvoyGrpc,
    HeaderValue,
    Pipe,
    SocketAddress,
    TypedExtensionConfig,
)
from envoy_data_plane.envoy.type.v3 import FractionalPercent, FractionalPercentDenominatorType
from envoy_data_plane.google.protobuf import Any

from extproc.settings.address import is_unix, split_host_port

EXTPROC_CLUSTER = "extproc"
"""Envoy cluster of the routing service."""

OTLP_CLUSTER = "otlp"
"""Envoy cluster of the receiver of spans, when it is not the routing service itself."""


def typed(name: str, message: betterproto2.Message) -> TypedExtensionConfig:
    """Name an extension and pack its configuration."""
    return TypedExtensionConfig(name=name, typed_config=Any.pack(message))


def seconds(value: float) -> timedelta:
    """Turn seconds into the duration that Envoy's messages take."""
    return timedelta(seconds=value)


def address(text: str) -> Address:
    """Parse `ip:port`, `host:port` or `unix:/path`."""
    if is_unix(text):
        return Address(pipe=Pipe(path=text.removeprefix("unix:")))
    host, port = split_host_port(text)
    return Address(socket_address=SocketAddress(address=host, port_value=port))


def grpc(cluster: str, *, timeout_seconds: float | None = None, **metadata: str) -> GrpcService:
    """Call a cluster by gRPC; keyword arguments become initial metadata, `_` in their names `-`."""
    return GrpcService(
        envoy_grpc=GrpcServiceEnvoyGrpc(cluster_name=cluster),
        timeout=seconds(timeout_seconds) if timeout_seconds is not None else None,
        initial_metadata=[
            HeaderValue(key=key.replace("_", "-"), value=value) for key, value in metadata.items()
        ],
    )


def share(ratio: float) -> FractionalPercent:
    """Turn a ratio within 0 to 1 into parts of a million."""
    return FractionalPercent(
        numerator=round(ratio * 1_000_000), denominator=FractionalPercentDenominatorType.MILLION
    )
