"""What Envoy tells the service: spans, one record per request, one record per try."""

from __future__ import annotations

from envoy_data_plane.envoy.config.accesslog.v3 import AccessLog
from envoy_data_plane.envoy.config.core.v3 import ApiVersion
from envoy_data_plane.envoy.config.trace.v3 import OpenTelemetryConfig, TracingHttp
from envoy_data_plane.envoy.extensions.access_loggers.grpc.v3 import (
    CommonGrpcAccessLogConfig,
    HttpGrpcAccessLogConfig,
)
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import (
    HttpConnectionManagerTracing,
)
from envoy_data_plane.envoy.extensions.tracers.opentelemetry.samplers.v3 import (
    ParentBasedSamplerConfig,
    TraceIdRatioBasedSamplerConfig,
)
from envoy_data_plane.google.protobuf import Any

from extproc.gateway.primitives import EXTPROC_CLUSTER, OTLP_CLUSTER, grpc, seconds, share, typed
from extproc.protocol import names
from extproc.settings.address import SELF
from extproc.settings.schema import TelemetrySettings

_FLUSH_SECONDS = 0.1
_OTLP_TIMEOUT_SECONDS = 2.0


def request_log() -> AccessLog:
    """Log each finished request to the service."""
    return _log(names.REQUEST_LOG)


def attempt_log() -> AccessLog:
    """Log each finished upstream try to the service."""
    return _log(names.ATTEMPT_LOG)


def otlp_cluster_name(telemetry: TelemetrySettings) -> str:
    """Name the cluster that receives spans."""
    return EXTPROC_CLUSTER if telemetry.otlp_endpoint == SELF else OTLP_CLUSTER


def tracing(telemetry: TelemetrySettings) -> HttpConnectionManagerTracing:
    """Trace requests, each try with a span of its own."""
    ratio = TraceIdRatioBasedSamplerConfig(sampling_percentage=share(telemetry.sample_ratio))
    sampler = ParentBasedSamplerConfig(
        wrapped_sampler=typed("envoy.tracers.opentelemetry.samplers.trace_id_ratio_based", ratio)
    )
    tracer = OpenTelemetryConfig(
        grpc_service=grpc(otlp_cluster_name(telemetry), timeout_seconds=_OTLP_TIMEOUT_SECONDS),
        service_name=telemetry.service_name,
        sampler=typed("envoy.tracers.opentelemetry.samplers.parent_based", sampler),
    )
    return HttpConnectionManagerTracing(
        provider=TracingHttp(name="envoy.tracers.opentelemetry", typed_config=Any.pack(tracer)),
        spawn_upstream_span=True,
    )


def _log(name: str) -> AccessLog:
    config = HttpGrpcAccessLogConfig(
        common_config=CommonGrpcAccessLogConfig(
            log_name=name,
            grpc_service=grpc(EXTPROC_CLUSTER),
            transport_api_version=ApiVersion.V3,
            buffer_flush_interval=seconds(_FLUSH_SECONDS),
        ),
        additional_request_headers_to_log=[names.DECISION_ID, names.TRACEPARENT],
    )
    return AccessLog(name="envoy.access_loggers.http_grpc", typed_config=Any.pack(config))
