"""The listener: what is taken from clients, and how the pieces hang together."""

from __future__ import annotations

from envoy_data_plane.envoy.config.common.mutation_rules.v3 import HeaderMutation, HeaderMutationRemoveOnMatch
from envoy_data_plane.envoy.config.core.v3 import (
    HeaderValue,
    HeaderValueOption,
    HeaderValueOptionHeaderAppendAction,
    TypedExtensionConfig,
)
from envoy_data_plane.envoy.config.listener.v3 import Filter, FilterChain, Listener
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import HttpConnectionManager
from envoy_data_plane.envoy.extensions.http.early_header_mutation.header_mutation.v3 import (
    HeaderMutation as EarlyHeaderMutation,
)
from envoy_data_plane.envoy.type.matcher.v3 import StringMatcher
from envoy_data_plane.google.protobuf import Any

from extproc.gateway.filters import http_filters
from extproc.gateway.local_replies import local_replies
from extproc.gateway.observe import request_log, tracing
from extproc.gateway.primitives import address, seconds, typed
from extproc.gateway.routes import route_config
from extproc.protocol import names
from extproc.settings import Settings

CLIENT_REQUEST_ID = "x-client-request-id"
_HEADERS_TIMEOUT_SECONDS = 10.0
_UPLOAD_TIMEOUT_SECONDS = 60.0
_FLUSH_TIMEOUT_SECONDS = 60.0


def listener(settings: Settings) -> Listener:
    """Build the one listener that clients talk to."""
    return Listener(
        name="ingress",
        address=address(settings.gateway.listen),
        per_connection_buffer_limit_bytes=settings.gateway.max_body_bytes,
        filter_chains=[
            FilterChain(
                filters=[
                    Filter(
                        name="envoy.filters.network.http_connection_manager",
                        typed_config=Any.pack(_connection_manager(settings)),
                    )
                ]
            )
        ],
    )


def _connection_manager(settings: Settings) -> HttpConnectionManager:
    return HttpConnectionManager(
        stat_prefix="ingress",
        route_config=route_config(settings),
        http_filters=http_filters(),
        tracing=tracing(settings.telemetry),
        access_log=[request_log()],
        early_header_mutation_extensions=[_strip_control_headers()],
        local_reply_config=local_replies(),
        use_remote_address=True,
        always_set_request_id_in_response=True,
        normalize_path=True,
        request_headers_timeout=seconds(_HEADERS_TIMEOUT_SECONDS),
        request_timeout=seconds(_UPLOAD_TIMEOUT_SECONDS),
        stream_idle_timeout=seconds(0),
        stream_flush_timeout=seconds(_FLUSH_TIMEOUT_SECONDS),
    )


def _strip_control_headers() -> TypedExtensionConfig:
    """Take every header that steers from the client, before anything reads it."""
    keep_id = HeaderMutation(
        append=HeaderValueOption(
            header=HeaderValue(key=CLIENT_REQUEST_ID, value=f"%REQ({names.REQUEST_ID})%"),
            append_action=HeaderValueOptionHeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD,
        )
    )
    prefixes = [_remove_prefix("x-envoy-"), _remove_prefix("x-gateway-destination-")]
    # One by one, because a prefix would take what clients may ask for with it.
    ours = [
        HeaderMutation(remove=name)
        for name in (*names.CONTROL_HEADERS, *names.ANSWER_HEADERS, names.ROLE)
        if name.startswith("x-ttca-")
    ]
    remove_id = HeaderMutation(remove=names.REQUEST_ID)
    return typed(
        "envoy.http.early_header_mutation.header_mutation",
        EarlyHeaderMutation(mutations=[keep_id, remove_id, *prefixes, *ours]),
    )


def _remove_prefix(prefix: str) -> HeaderMutation:
    return HeaderMutation(
        remove_on_match=HeaderMutationRemoveOnMatch(
            key_matcher=StringMatcher(prefix=prefix, ignore_case=True)
        )
    )
