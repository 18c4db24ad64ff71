"""The HTTP filters: DECIDE, ATTEMPT, what reads usage out of answers, and the router."""

from __future__ import annotations

from collections.abc import Mapping

import betterproto2
from envoy_data_plane.envoy.config.common.mutation_rules.v3 import HeaderMutationRules
from envoy_data_plane.envoy.config.core.v3 import GrpcService, HeaderValue, TypedExtensionConfig
from envoy_data_plane.envoy.config.route.v3 import FilterConfig
from envoy_data_plane.envoy.extensions.content_parsers.json.v3 import (
    JsonContentParser,
    JsonContentParserRuleConfig,
)
from envoy_data_plane.envoy.extensions.filters.http.ext_proc.v3 import (
    ExternalProcessor,
    ExtProcPerRoute,
    MetadataOptions,
    MetadataOptionsMetadataNamespaces,
    ProcessingMode,
    ProcessingModeBodySendMode,
    ProcessingModeHeaderSendMode,
)
from envoy_data_plane.envoy.extensions.filters.http.json_to_metadata.v3 import (
    JsonToMetadata,
    JsonToMetadataKeyValuePair,
    JsonToMetadataMatchRules,
    JsonToMetadataRule,
    JsonToMetadataSelector,
    JsonToMetadataValueType,
)
from envoy_data_plane.envoy.extensions.filters.http.router.v3 import Router, RouterUpstreamAccessLogOptions
from envoy_data_plane.envoy.extensions.filters.http.sse_to_metadata.v3 import (
    SseToMetadata,
    SseToMetadataProcessingRules,
)
from envoy_data_plane.envoy.extensions.filters.http.upstream_codec.v3 import UpstreamCodec
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import HttpFilter
from envoy_data_plane.envoy.type.matcher.v3 import RegexMatcher
from envoy_data_plane.google.protobuf import Any

from extproc.gateway.observe import attempt_log
from extproc.gateway.primitives import EXTPROC_CLUSTER, grpc, seconds, typed
from extproc.protocol import names
from extproc.settings.verification import JUDGE_MARGIN_SECONDS, LONGEST_JUDGEMENT_SECONDS

DECIDE_FILTER = "ttca.decide"
ATTEMPT_FILTER = "ttca.attempt"
JSON_FILTER = "ttca.json"
EVENTS_FILTER = "ttca.events"

_DECIDE_TIMEOUT_SECONDS = 2.0
_ATTEMPT_TIMEOUT_SECONDS = 2.0
_LONGEST_JUDGEMENT_SECONDS = LONGEST_JUDGEMENT_SECONDS + JUDGE_MARGIN_SECONDS
_LARGEST_EVENT_BYTES = 1024 * 1024
_JSON = RegexMatcher(regex=r"application/([a-z0-9.+-]+\+)?json(\s*;.*)?")

_PLAIN_USAGE = {
    "prompt_tokens": (("usage", "prompt_tokens"), ("usage", "input_tokens")),
    "completion_tokens": (("usage", "completion_tokens"), ("usage", "output_tokens")),
}
"""Where usage stands in a plain answer: chat, completions and embeddings; then messages and responses."""

_EVENT_USAGE = {
    "prompt_tokens": (
        *_PLAIN_USAGE["prompt_tokens"],
        ("message", "usage", "input_tokens"),
        ("response", "usage", "input_tokens"),
    ),
    "completion_tokens": (*_PLAIN_USAGE["completion_tokens"], ("response", "usage", "output_tokens")),
}
"""Where usage stands in an event: as in a plain answer; `message_start` (messages); `response.completed` (responses)."""


def http_filters() -> list[HttpFilter]:
    """List the filters of the listener, in the order in which a request passes them."""
    return [
        _filter(DECIDE_FILTER, _decide()),
        _filter(
            JSON_FILTER, JsonToMetadata(request_rules=_model_rules(), response_rules=_plain_usage_rules())
        ),
        _filter(EVENTS_FILTER, SseToMetadata(response_rules=_event_usage_rules())),
        _filter(
            "envoy.filters.http.router",
            Router(
                upstream_log=[attempt_log()],
                upstream_log_options=RouterUpstreamAccessLogOptions(
                    flush_upstream_log_on_upstream_stream=False
                ),
            ),
        ),
    ]


def attempt_filters() -> list[HttpFilter]:
    """List the filters of one upstream try."""
    return [
        _filter(ATTEMPT_FILTER, _attempt()),
        _filter("envoy.filters.http.upstream_codec", UpstreamCodec()),
    ]


API_PATHS = ("/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses", "/v1/messages")
"""Paths whose streams consist of JSON objects (and `[DONE]`)."""


def filters_off_elsewhere() -> dict[str, Any]:
    """Switch off, for requests to other paths, what only the known APIs' streams may be given to."""
    return {EVENTS_FILTER: Any.pack(FilterConfig(disabled=True))}


def filters_off_where_closed() -> dict[str, Any]:
    """Ask the service nothing about requests that no instance gets."""
    return {DECIDE_FILTER: Any.pack(ExtProcPerRoute(disabled=True))}


def filters_when_decided() -> dict[str, Any]:
    """Configure filters for requests that the service decided on: their body is not parsed a second time."""
    return {JSON_FILTER: Any.pack(JsonToMetadata(response_rules=_plain_usage_rules()))}


def _filter(name: str, message: betterproto2.Message) -> HttpFilter:
    return HttpFilter(name=name, typed_config=Any.pack(message))


def _service(role: str) -> GrpcService:
    service = grpc(EXTPROC_CLUSTER)
    service.initial_metadata = [HeaderValue(key=names.ROLE, value=role)]
    return service


def _decide() -> ExternalProcessor:
    return ExternalProcessor(
        grpc_service=_service(names.ROLE_DECIDE),
        failure_mode_allow=True,
        processing_mode=ProcessingMode(
            request_header_mode=ProcessingModeHeaderSendMode.SEND,
            response_header_mode=ProcessingModeHeaderSendMode.SKIP,
            request_body_mode=ProcessingModeBodySendMode.BUFFERED,
            request_trailer_mode=ProcessingModeHeaderSendMode.SKIP,
            response_trailer_mode=ProcessingModeHeaderSendMode.SKIP,
        ),
        message_timeout=seconds(_DECIDE_TIMEOUT_SECONDS),
        mutation_rules=HeaderMutationRules(allow_envoy=True),
        metadata_options=MetadataOptions(
            forwarding_namespaces=MetadataOptionsMetadataNamespaces(untyped=[names.SUBSET_NAMESPACE]),
            receiving_namespaces=MetadataOptionsMetadataNamespaces(
                untyped=[names.LB_NAMESPACE, names.DECISION_NAMESPACE]
            ),
        ),
    )


def _attempt() -> ExternalProcessor:
    return ExternalProcessor(
        grpc_service=_service(names.ROLE_ATTEMPT),
        failure_mode_allow=True,
        processing_mode=ProcessingMode(
            request_header_mode=ProcessingModeHeaderSendMode.SEND,
            response_header_mode=ProcessingModeHeaderSendMode.SEND,
            request_trailer_mode=ProcessingModeHeaderSendMode.SKIP,
            response_trailer_mode=ProcessingModeHeaderSendMode.SKIP,
        ),
        request_attributes=[names.ATTRIBUTE_UPSTREAM_ADDRESS],
        message_timeout=seconds(_ATTEMPT_TIMEOUT_SECONDS),
        max_message_timeout=seconds(_LONGEST_JUDGEMENT_SECONDS),
        mutation_rules=HeaderMutationRules(allow_envoy=True),
        allow_mode_override=True,
        metadata_options=MetadataOptions(
            forwarding_namespaces=MetadataOptionsMetadataNamespaces(untyped=[names.NEXT_NAMESPACE]),
            receiving_namespaces=MetadataOptionsMetadataNamespaces(untyped=[names.NEXT_NAMESPACE]),
        ),
    )


def _model_rules() -> JsonToMetadataMatchRules:
    rule = JsonToMetadataRule(
        selectors=_selectors(("model",)),
        on_present=JsonToMetadataKeyValuePair(
            metadata_namespace=names.LB_NAMESPACE, key="model", type=JsonToMetadataValueType.STRING
        ),
    )
    return JsonToMetadataMatchRules(rules=[rule], allow_content_types_regex=_JSON)


def _plain_usage_rules() -> JsonToMetadataMatchRules:
    return JsonToMetadataMatchRules(rules=_usage_rules(_PLAIN_USAGE), allow_content_types_regex=_JSON)


def _event_usage_rules() -> SseToMetadataProcessingRules:
    parser = JsonContentParser(
        rules=[JsonContentParserRuleConfig(rule=rule) for rule in _usage_rules(_EVENT_USAGE)]
    )
    return SseToMetadataProcessingRules(
        content_parser=_parser(parser),
        max_event_size=_LARGEST_EVENT_BYTES,
    )


def _parser(parser: JsonContentParser) -> TypedExtensionConfig:
    return typed("envoy.content_parsers.json", parser)


def _usage_rules(paths_by_key: Mapping[str, tuple[tuple[str, ...], ...]]) -> list[JsonToMetadataRule]:
    return [
        JsonToMetadataRule(
            selectors=_selectors(path),
            on_present=JsonToMetadataKeyValuePair(
                metadata_namespace=names.USAGE_NAMESPACE, key=key, type=JsonToMetadataValueType.NUMBER
            ),
        )
        for key, paths in paths_by_key.items()
        for path in paths
    ]


def _selectors(path: tuple[str, ...]) -> list[JsonToMetadataSelector]:
    return [JsonToMetadataSelector(key=key) for key in path]
