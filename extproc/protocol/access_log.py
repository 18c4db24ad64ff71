"""Envoy's access-log entries into outcomes and tries."""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration

from extproc.calibrate.outcome import BROKEN_FLAGS, DecisionRecord, Outcome, TryRecord, Usage
from extproc.protocol import names
from extproc.protocol.decision_metadata import read_decision, read_usage
from extproc.protocol.wire import access_log_pb2 as wire
from extproc.protocol.wire.common_pb2 import Address, Metadata

LOGGED_REQUEST_HEADERS = (names.DECISION_ID, names.TRACEPARENT)
"""What Envoy's `additional_request_headers_to_log` must name."""

_FLAGS = {
    "failed_local_healthcheck": "LH",
    "no_healthy_upstream": "UH",
    "upstream_request_timeout": "UT",
    "local_reset": "LR",
    "upstream_remote_reset": "UR",
    "upstream_connection_failure": "UF",
    "upstream_connection_termination": "UC",
    "upstream_overflow": "UO",
    "no_route_found": "NR",
    "delay_injected": "DI",
    "fault_injected": "FI",
    "rate_limited": "RL",
    "unauthorized_details": "UAEX",
    "rate_limit_service_error": "RLSE",
    "downstream_connection_termination": "DC",
    "upstream_retry_limit_exceeded": "URX",
    "stream_idle_timeout": "SI",
    "invalid_envoy_request_headers": "IH",
    "downstream_protocol_error": "DPE",
    "upstream_max_stream_duration_reached": "UMSDR",
    "response_from_cache_filter": "RFCF",
    "no_filter_config_found": "NFCF",
    "duration_timeout": "DT",
    "upstream_protocol_error": "UPE",
    "no_cluster_found": "NC",
    "overload_manager": "OM",
    "dns_resolution_failure": "DF",
    "downstream_remote_reset": "DR",
}
"""Fields of Envoy's ResponseFlags and the short names of its text access log (%RESPONSE_FLAGS%)."""

_END_TYPES = (wire.AccessLogType.NotSet, wire.AccessLogType.DownstreamEnd, wire.AccessLogType.UpstreamEnd)

_FAILED_TRY_FLAGS = BROKEN_FLAGS | {"UT"}
"""Of a try that gave no answer. One that did and is beyond its time was late: Envoy raced it, or the request's time is over."""


def is_finished(entry: wire.HTTPAccessLogEntry) -> bool:
    """True for the entry that ends a request or a try; False for those that Envoy writes along the way."""
    return entry.common_properties.access_log_type in _END_TYPES


def decode_outcome(entry: wire.HTTPAccessLogEntry, *, buffer_bytes: int) -> Outcome:
    """Read one finished request (log `ttca.request`); fields that are absent or foreign become None or empty.

    The first byte from upstream is the response's first header byte: Envoy's log knows no later milestone. Of several
    tries the upstream times are those of the try that answered, also in a race, counted from the request's start.

    Args:
        entry: What Envoy wrote.
        buffer_bytes: What Envoy takes from an instance ahead of a client that does not read.
    """
    common, request = entry.common_properties, entry.request
    decision, usage = _metadata(common.metadata)
    has_answer = common.HasField("time_to_first_upstream_rx_byte")
    return Outcome(
        request_id=request.request_id,
        traceparent=request.request_headers.get(names.TRACEPARENT, ""),
        started_unix_seconds=common.start_time.seconds + common.start_time.nanos / 1e9,
        decision=decision,
        served_address=(_address(common.upstream_remote_address) or None) if has_answer else None,
        attempts=common.upstream_request_attempt_count,
        status=entry.response.response_code.value,
        flags=_flags(common.response_flags),
        usage=usage,
        ttft_seconds=_seconds(common.time_to_first_upstream_rx_byte) if has_answer else None,
        e2e_seconds=_seconds(common.duration),
        instance_seconds=_instance_seconds(entry, buffer_bytes),
    )


def decode_try(entry: wire.HTTPAccessLogEntry) -> TryRecord:
    """Read one finished try (log `ttca.attempt`).

    A try without status and without a flag of failure was given up by Envoy itself, because the client left or
    another try won; it says nothing against the instance, unless it was beyond its time by then (`UT`).
    """
    common = entry.common_properties
    status = entry.response.response_code.value
    flags = _flags(common.response_flags)
    failures = _FAILED_TRY_FLAGS if status == 0 else BROKEN_FLAGS
    return TryRecord(
        decision_id=entry.request.request_headers.get(names.DECISION_ID, ""),
        address=_address(common.upstream_remote_address),
        status=status,
        flags=flags,
        is_failure=status >= 500 or not failures.isdisjoint(flags),
    )


def _instance_seconds(entry: wire.HTTPAccessLogEntry, buffer_bytes: int) -> float | None:
    common = entry.common_properties
    if not common.HasField("time_to_first_upstream_tx_byte"):
        return None
    # Envoy writes the time of an upstream's last byte only of an answer that came whole.
    if not common.HasField("time_to_last_upstream_rx_byte"):
        return None
    # Envoy stops reading from the instance when its buffer is full of what the client has not read. The frames of a
    # stream's chunks take room beside the body's bytes, at most as much again.
    if 2 * entry.response.response_body_bytes > buffer_bytes:
        return None
    seconds = _seconds(common.time_to_last_upstream_rx_byte) - _seconds(common.time_to_first_upstream_tx_byte)
    return seconds if seconds > 0.0 else None


def _metadata(metadata: Metadata) -> tuple[DecisionRecord | None, Usage | None]:
    namespaces = metadata.filter_metadata
    decision = namespaces.get(names.DECISION_NAMESPACE)
    usage = namespaces.get(names.USAGE_NAMESPACE)
    return (
        read_decision(decision.fields) if decision is not None else None,
        read_usage(usage.fields) if usage is not None else None,
    )


def _flags(flags: wire.ResponseFlags) -> tuple[str, ...]:
    return tuple(_FLAGS[field.name] for field, _ in flags.ListFields())


def _address(address: Address) -> str:
    """Return `ip:port`; empty when the entry holds none."""
    socket = address.socket_address
    if not socket.address:
        return ""
    host = f"[{socket.address}]" if ":" in socket.address else socket.address
    return f"{host}:{socket.port_value}"


def _seconds(duration: Duration) -> float:
    return duration.seconds + duration.nanos / 1e9
