"""Envoy's clusters: the service, the receiver of spans, one per deployment, and the union of all."""

from __future__ import annotations

from pathlib import Path

from envoy_data_plane.envoy.config.cluster.v3 import (
    CircuitBreakers,
    CircuitBreakersThresholds,
    CircuitBreakersThresholdsRetryBudget,
    Cluster,
    ClusterCommonLbConfig,
    ClusterDiscoveryType,
    ClusterEdsClusterConfig,
    ClusterLbPolicy,
    ClusterOriginalDstLbConfig,
    LoadBalancingPolicy,
    OutlierDetection,
)
from envoy_data_plane.envoy.config.core.v3 import (
    ApiVersion,
    ConfigSource,
    HealthCheck,
    HealthCheckGrpcHealthCheck,
    HealthCheckHttpHealthCheck,
    Http1ProtocolOptions,
    Http2ProtocolOptions,
    PathConfigSource,
)
from envoy_data_plane.envoy.config.endpoint.v3 import (
    ClusterLoadAssignment,
    Endpoint,
    LbEndpoint,
    LocalityLbEndpoints,
)
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import HttpFilter
from envoy_data_plane.envoy.extensions.upstreams.http.v3 import (
    HttpProtocolOptions,
    HttpProtocolOptionsExplicitHttpConfig,
)
from envoy_data_plane.envoy.type.metadata.v3 import MetadataKey, MetadataKeyPathSegment
from envoy_data_plane.envoy.type.v3 import Percent
from envoy_data_plane.google.protobuf import Any

from extproc.gateway.balancing import by_model_and_pool, least_request, override_host
from extproc.gateway.endpoints import endpoints_file
from extproc.gateway.filters import attempt_filters
from extproc.gateway.primitives import EXTPROC_CLUSTER, OTLP_CLUSTER, address, seconds
from extproc.protocol import names, naming
from extproc.settings import Settings
from extproc.settings.address import SELF, is_ip, is_unix, split_host_port
from extproc.settings.schema import BudgetSettings

_PROTOCOL_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_CONNECT_SECONDS = 0.25
_UNLIMITED = 1_000_000
_CHECK_INTERVAL_SECONDS = 2.0
_CHECK_TIMEOUT_SECONDS = 1.5
_EJECTION_SECONDS = 5.0
_REPLICA_CHECK_SECONDS = 1.0
_LARGEST_UNION_SHARE = 0.5
"""Of retries in everything in flight that a budget of 100 % of the first tries stands for."""


def clusters(settings: Settings, endpoints_directory: Path) -> list[Cluster]:
    """List every cluster: one per deployment, the union, and those that Envoy itself calls."""
    deployments = [
        _instances_cluster(
            cluster.name,
            endpoints_directory,
            balancing=override_host(least_request()),
            filters=[],
            breakers=_retry_budget(settings.budgets),
        )
        for cluster in settings.clusters
    ]
    union = _instances_cluster(
        names.UNION_CLUSTER,
        endpoints_directory,
        balancing=override_host(by_model_and_pool(least_request())),
        filters=attempt_filters(),
        breakers=_union_retry_budget(settings.budgets),
    )
    named = _named_cluster(names.NAMED_CLUSTER, naming.ADDRESS)
    stand_in = _named_cluster(names.STAND_IN_CLUSTER, naming.STAND_IN)
    service = _grpc_cluster(EXTPROC_CLUSTER, settings.service.listen, settings)
    service.health_checks = [_replica_check()]
    service.common_lb_config = _only_healthy()
    own = [service]
    if settings.telemetry.otlp_endpoint != SELF:
        own.append(_grpc_cluster(OTLP_CLUSTER, settings.telemetry.otlp_endpoint, settings))
    return [*deployments, union, named, stand_in, *own]


def _instances_cluster(
    name: str,
    endpoints_directory: Path,
    *,
    balancing: LoadBalancingPolicy,
    filters: list[HttpFilter],
    breakers: CircuitBreakers,
) -> Cluster:
    return Cluster(
        name=name,
        type=ClusterDiscoveryType.EDS,
        eds_cluster_config=ClusterEdsClusterConfig(
            service_name=name,
            eds_config=ConfigSource(
                path_config_source=PathConfigSource(path=str(endpoints_directory / endpoints_file(name))),
                resource_api_version=ApiVersion.V3,
            ),
        ),
        connect_timeout=seconds(_CONNECT_SECONDS),
        ignore_health_on_host_removal=True,
        common_lb_config=_only_healthy(),
        load_balancing_policy=balancing,
        health_checks=[_health_check()],
        outlier_detection=_outlier_detection(),
        circuit_breakers=breakers,
        typed_extension_protocol_options={_PROTOCOL_OPTIONS: _instance_protocol(filters)},
    )


def _named_cluster(name: str, field: str) -> Cluster:
    """Goes to the address that the ATTEMPT filter wrote into a field of its metadata, and nowhere without one."""
    named = MetadataKey(key=names.NEXT_NAMESPACE, path=[MetadataKeyPathSegment(key=field)])
    return Cluster(
        name=name,
        type=ClusterDiscoveryType.ORIGINAL_DST,
        lb_policy=ClusterLbPolicy.CLUSTER_PROVIDED,
        original_dst_lb_config=ClusterOriginalDstLbConfig(metadata_key=named),
        connect_timeout=seconds(_CONNECT_SECONDS),
        circuit_breakers=_circuit_breakers(None, max_retries=_UNLIMITED),
        typed_extension_protocol_options={_PROTOCOL_OPTIONS: _instance_protocol(attempt_filters())},
    )


def _instance_protocol(filters: list[HttpFilter]) -> Any:
    return Any.pack(
        HttpProtocolOptions(
            explicit_http_config=HttpProtocolOptionsExplicitHttpConfig(
                http_protocol_options=Http1ProtocolOptions()
            ),
            http_filters=filters,
        )
    )


def _health_check() -> HealthCheck:
    return HealthCheck(
        timeout=seconds(_CHECK_TIMEOUT_SECONDS),
        interval=seconds(_CHECK_INTERVAL_SECONDS),
        interval_jitter_percent=20,
        no_traffic_interval=seconds(_CHECK_INTERVAL_SECONDS),
        unhealthy_threshold=3,
        healthy_threshold=1,
        http_health_check=HealthCheckHttpHealthCheck(path="/health"),
    )


def _only_healthy() -> ClusterCommonLbConfig:
    return ClusterCommonLbConfig(healthy_panic_threshold=Percent(value=1), update_merge_window=seconds(0))


def _replica_check() -> HealthCheck:
    return HealthCheck(
        timeout=seconds(_REPLICA_CHECK_SECONDS),
        interval=seconds(_REPLICA_CHECK_SECONDS),
        no_traffic_interval=seconds(_REPLICA_CHECK_SECONDS),
        unhealthy_threshold=2,
        healthy_threshold=1,
        grpc_health_check=HealthCheckGrpcHealthCheck(),
    )


def _outlier_detection() -> OutlierDetection:
    return OutlierDetection(
        consecutive_gateway_failure=3,
        enforcing_consecutive_gateway_failure=100,
        enforcing_success_rate=0,
        interval=seconds(1),
        base_ejection_time=seconds(_EJECTION_SECONDS),
        max_ejection_time=seconds(6 * _EJECTION_SECONDS),
        max_ejection_percent=50,
    )


def _circuit_breakers(
    retry_budget: CircuitBreakersThresholdsRetryBudget | None, *, max_retries: int | None = None
) -> CircuitBreakers:
    return CircuitBreakers(
        thresholds=[
            CircuitBreakersThresholds(
                max_connections=_UNLIMITED,
                max_pending_requests=_UNLIMITED,
                max_requests=_UNLIMITED,
                max_retries=max_retries,
                retry_budget=retry_budget,
            )
        ]
    )


def _retry_budget(budgets: BudgetSettings) -> CircuitBreakers:
    return _circuit_breakers(_budget(budgets, budgets.retry_budget_percent))


def _union_retry_budget(budgets: BudgetSettings) -> CircuitBreakers:
    """Limit the retries that may be under way in the union's and the named instances' cluster together.

    Envoy holds a request's retries against the cluster of its first try, and counts the requests in flight there alone. With
    all retries at named instances, a share b of everything in flight is b / (1 - b) of those.
    """
    share = budgets.retry_budget_percent / 100.0
    if share > _LARGEST_UNION_SHARE:
        return _circuit_breakers(None, max_retries=_UNLIMITED)
    return _circuit_breakers(_budget(budgets, 100.0 * share / (1.0 - share)))


def _budget(budgets: BudgetSettings, percent: float) -> CircuitBreakersThresholdsRetryBudget:
    return CircuitBreakersThresholdsRetryBudget(
        budget_percent=Percent(value=percent), min_retry_concurrency=budgets.min_retry_concurrency
    )


def _grpc_cluster(name: str, target: str, settings: Settings) -> Cluster:
    http = HttpProtocolOptions(
        explicit_http_config=HttpProtocolOptionsExplicitHttpConfig(
            http2_protocol_options=Http2ProtocolOptions(
                initial_stream_window_size=settings.gateway.max_body_bytes,
                initial_connection_window_size=2 * settings.gateway.max_body_bytes,
            )
        )
    )
    endpoint = LbEndpoint(endpoint=Endpoint(address=address(target)))
    return Cluster(
        name=name,
        type=ClusterDiscoveryType.STATIC if _needs_no_dns(target) else ClusterDiscoveryType.STRICT_DNS,
        connect_timeout=seconds(_CONNECT_SECONDS),
        load_assignment=ClusterLoadAssignment(
            cluster_name=name, endpoints=[LocalityLbEndpoints(lb_endpoints=[endpoint])]
        ),
        per_connection_buffer_limit_bytes=settings.gateway.max_body_bytes,
        circuit_breakers=_circuit_breakers(None),
        typed_extension_protocol_options={_PROTOCOL_OPTIONS: Any.pack(http)},
    )


def _needs_no_dns(target: str) -> bool:
    return is_unix(target) or is_ip(split_host_port(target)[0])
