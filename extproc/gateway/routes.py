"""Which cluster a request goes to, how often it is tried, and how long it may take."""

from __future__ import annotations

import re
from http import HTTPStatus

from envoy_data_plane.envoy.config.core.v3 import (
    HeaderValue,
    HeaderValueOption,
    HeaderValueOptionHeaderAppendAction,
    Metadata,
)
from envoy_data_plane.envoy.config.route.v3 import (
    DirectResponseAction,
    HeaderMatcher,
    RetryPolicy,
    RetryPolicyRetryBackOff,
    RetryPolicyRetryHostPredicate,
    Route,
    RouteAction,
    RouteConfiguration,
    RouteMatch,
    VirtualHost,
)
from envoy_data_plane.envoy.extensions.retry.host.previous_hosts.v3 import PreviousHostsPredicate
from envoy_data_plane.envoy.type.matcher.v3 import RegexMatcher, StringMatcher
from envoy_data_plane.envoy.type.v3 import Int64Range
from envoy_data_plane.google.protobuf import Any, Struct

from extproc.gateway.filters import (
    API_PATHS,
    filters_off_elsewhere,
    filters_off_where_closed,
    filters_when_decided,
)
from extproc.gateway.primitives import seconds
from extproc.gateway.priority_groups import cluster_by_try
from extproc.protocol import names, naming
from extproc.protocol.decision_metadata import WISH
from extproc.settings import Settings

_RETRY_ON = "5xx,retriable-headers"
_BYTES_PER_TOKEN = 3
"""Body bytes per token below which a body may exceed a pool's threshold: English prose has 4 to 5, code 3."""

_HOST_DRAWS = 32
"""Draws for a host that was not tried yet: with two of three tried, all fail in 1 of 400,000 retries."""

_LARGEST_INT64 = 2**63 - 1


def route_config(settings: Settings) -> RouteConfiguration:
    """Route by the service's decision, and without one by what Envoy can see itself."""
    budgets = settings.budgets
    return RouteConfiguration(
        name="requests",
        virtual_hosts=[
            VirtualHost(
                name="requests",
                domains=["*"],
                routes=[
                    *_closed(settings),
                    _united(settings),
                    _decided(settings),
                    _elsewhere(settings),
                    *_fallbacks(settings),
                ],
                retry_policy=_retry_policy(
                    retries=budgets.max_attempts - 1, per_try=budgets.per_try_timeout_seconds
                ),
                request_body_buffer_limit=settings.gateway.max_body_bytes,
                include_request_attempt_count=True,
                include_attempt_count_in_response=True,
            )
        ],
    )


def _closed(settings: Settings) -> list[Route]:
    """What no client may ask an instance for gets a 404, decided on or not; nothing where everything is passed through."""
    own = (*API_PATHS, names.FEEDBACK_PATH, names.MODELS_PATH, f"{names.MODELS_PATH}/")
    if "/" in settings.gateway.passthrough:
        return []
    # One matcher per path: Envoy's regular expressions may not be long. The usual paths come first, and end the search.
    matchers = [_is_not(path) for path in (*own, *settings.gateway.passthrough)]
    return [
        Route(
            name="closed",
            match=RouteMatch(prefix="/", headers=matchers),
            direct_response=DirectResponseAction(status=HTTPStatus.NOT_FOUND),
            typed_per_filter_config=filters_off_where_closed(),
        )
    ]


def _is_not(path: str) -> HeaderMatcher:
    """Match requests for other paths; one that ends with a slash stands for all that begin so."""
    if path.endswith("/"):
        known = StringMatcher(prefix=path)
    else:
        known = StringMatcher(safe_regex=RegexMatcher(regex=rf"{re.escape(path)}/?(\?.*)?"))
    return HeaderMatcher(name=":path", string_match=known, invert_match=True)


def _united(settings: Settings) -> Route:
    """The plan takes the union cluster: each try goes to the plan's next host, or where the ATTEMPT filter named one."""
    union = StringMatcher(exact=names.UNION_CLUSTER)
    retry_policy = _retry_policy(retries=0, per_try=None)
    retry_policy.refresh_cluster_on_retry = True
    # One group per try, in their order; the last two are beyond any try, and taken only where they are named.
    clusters = dict.fromkeys(naming.PLANNED_GROUPS, names.UNION_CLUSTER)
    clusters |= {naming.NAMED: names.NAMED_CLUSTER, naming.STAND_IN: names.STAND_IN_CLUSTER}
    action = RouteAction(
        inline_cluster_specifier_plugin=cluster_by_try(clusters, metadata_namespace=names.NEXT_NAMESPACE),
        retry_policy=retry_policy,
    )
    return _by_decision(
        "decided_union", HeaderMatcher(name=names.CLUSTER, string_match=union), action, settings
    )


def _decided(settings: Settings) -> Route:
    """The plan stays in one deployment's cluster."""
    action = RouteAction(cluster_header=names.CLUSTER, retry_policy=_retry_policy(retries=0, per_try=None))
    return _by_decision("decided", HeaderMatcher(name=names.CLUSTER, present_match=True), action, settings)


def _by_decision(name: str, decision: HeaderMatcher, action: RouteAction, settings: Settings) -> Route:
    action.timeout = seconds(settings.budgets.request_timeout_seconds)
    return Route(
        name=name,
        match=RouteMatch(prefix="/", headers=[decision]),
        route=action,
        typed_per_filter_config=filters_when_decided(),
        response_headers_to_add=_answered_by(),
        response_headers_to_remove=[names.RETRY],
    )


def _answered_by() -> list[HeaderValueOption]:
    """Tell the client who answered; the ATTEMPT filter's own words, with a verdict, win."""
    marks = {
        names.VERDICT: "unverified",
        names.MODEL_HEADER: f"%DYNAMIC_METADATA({names.DECISION_NAMESPACE}:model)%",
        # Absent without a wish: Envoy adds no empty header.
        names.WISH: f"%DYNAMIC_METADATA({names.DECISION_NAMESPACE}:{WISH})%",
        names.INSTANCE: "%UPSTREAM_REMOTE_ADDRESS%",
        names.ATTEMPTS: "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
    }
    return [
        HeaderValueOption(
            header=HeaderValue(key=key, value=value),
            append_action=HeaderValueOptionHeaderAppendAction.ADD_IF_ABSENT,
        )
        for key, value in marks.items()
    ]


def _elsewhere(settings: Settings) -> Route:
    paths = "|".join(re.escape(path) for path in API_PATHS)
    known = StringMatcher(safe_regex=RegexMatcher(regex=rf"({paths})/?(\?.*)?"))
    route = _fallback(
        settings, "elsewhere", [HeaderMatcher(name=":path", string_match=known, invert_match=True)], pool=None
    )
    route.typed_per_filter_config = filters_off_elsewhere()
    return route


def _fallbacks(settings: Settings) -> list[Route]:
    """Send long bodies to pools that hold them: from the longest pool down, then everything else to anyone."""
    routes: list[Route] = []
    for shorter, pool in reversed(list(zip(settings.pools, settings.pools[1:], strict=False))):
        if shorter.threshold_tokens is None:
            continue
        from_bytes = shorter.threshold_tokens * _BYTES_PER_TOKEN
        size = HeaderMatcher(
            name=names.CONTENT_LENGTH, range_match=Int64Range(start=from_bytes, end=_LARGEST_INT64)
        )
        routes.append(_fallback(settings, f"fallback_{pool.name}", [size], pool=pool.name))
    return [*routes, _fallback(settings, "fallback", [], pool=None)]


def _fallback(settings: Settings, name: str, headers: list[HeaderMatcher], *, pool: str | None) -> Route:
    metadata = (
        Metadata(filter_metadata={names.LB_NAMESPACE: Struct.from_dict({"pool": pool})}) if pool else None
    )
    return Route(
        name=name,
        match=RouteMatch(prefix="/", headers=headers),
        route=RouteAction(
            cluster=names.UNION_CLUSTER,
            metadata_match=metadata,
            timeout=seconds(settings.budgets.request_timeout_seconds),
        ),
    )


def _retry_policy(*, retries: int, per_try: float | None) -> RetryPolicy:
    return RetryPolicy(
        retry_on=_RETRY_ON,
        num_retries=retries,
        per_try_timeout=seconds(per_try) if per_try is not None else None,
        retriable_headers=[HeaderMatcher(name=names.RETRY, present_match=True)],
        retry_host_predicate=[
            RetryPolicyRetryHostPredicate(
                name="envoy.retry_host_predicates.previous_hosts",
                typed_config=Any.pack(PreviousHostsPredicate()),
            )
        ],
        host_selection_retry_max_attempts=_HOST_DRAWS,
        retry_back_off=RetryPolicyRetryBackOff(base_interval=seconds(0.01), max_interval=seconds(0.1)),
    )
