"""Why each option of Envoy's configuration is as it is, by place; `yaml_text` says how places are written."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

SOURCE: Final = "# Rendered by `ttca render` from {}: edit that file, not this one.\n"
"""First line; the fleet file is named as whoever rendered it named it."""

HEADING: Final = """\
#
# A request's way: early_header_mutation_extensions strip what would steer; ttca.decide asks the service, which names
# the cluster and the ordered hosts; the route "decided" takes them; override_host walks the hosts, one per try;
# ttca.json and ttca.events read usage out of the answer; the access logs tell the service how it ended.
# Without the service, the fallback routes and the cluster "fleet" serve on their own.

"""

_ROUTES: Final = {
    "routes[closed]": "Paths that are neither an API's nor in gateway.passthrough: vLLM serves what only operators should reach "
    "on the port of its APIs.",
    "routes[closed].typed_per_filter_config": "Nothing is to be decided here.",
    "routes[decided]": "The service decided: it set this header, and clients cannot, because a client's copy is "
    "stripped before anything reads it.",
    "routes[decided].route.retry_policy.num_retries": "No retry unless the plan grants some: the service sets "
    "x-envoy-max-retries per request, and a plan without it has one attempt.",
    "routes[decided].response_headers_to_add": "Who answered. ADD_IF_ABSENT: where the ATTEMPT filter judged the "
    "answer, its own words stand there already.",
    "routes[decided].response_headers_to_remove": "A word between the service and Envoy's router: when Envoy refuses "
    "the retry (its budget is spent, the time is over), the client gets the answer without it.",
    "routes[decided].typed_per_filter_config": "Replaces the filter's settings for decided requests: the answer's "
    "usage is read, the request's body is not parsed a second time.",
    "routes[decided_union]": "The plan crosses deployments or has its answers judged. Its tries go to the hosts of the "
    "list, but for those that the ATTEMPT filter sends elsewhere when it rejects an answer.",
    "routes[decided_union].route.inline_cluster_specifier_plugin": "A group for each try, in their order. The last two "
    "are beyond any try: only the filter's metadata (ttca.next) puts them in a try's place.",
    "routes[decided_union].route.retry_policy.refresh_cluster_on_retry": "Asks the groups before every try; otherwise "
    "a retry stays in the cluster of the first one.",
    "routes[elsewhere]": "Paths that are not among the APIs that the service understands: any healthy instance "
    "answers them.",
    "routes[elsewhere].typed_per_filter_config": "Envoy 1.40 crashes when sse_to_metadata reads an event whose data is a bare JSON "
    "scalar (`data: 1`). The known APIs send objects and [DONE] only; whatever else is served stays away from it.",
    "virtual_hosts[requests].retry_policy": "For every route without its own policy, that is, when nobody decided.",
    "routes[decided].route.retry_policy.retry_on": "5xx covers no answer at all too: refused and broken "
    "connections, resets, per-try timeouts. A vLLM server says 503 when its queue is full and 500 when its engine is "
    "dead; the next instance may do better. retriable-headers is the ATTEMPT filter's way to ask for the next host.",
    "routes[decided].route.retry_policy.retry_host_predicate": "The list never names a host twice; this does the "
    "same for hosts that the fallback policy picks once the list is used up.",
    "routes[decided].route.retry_policy.host_selection_retry_max_attempts": "How often that policy draws again "
    "before it accepts a host that was tried already; few hosts need many draws.",
    "routes[decided].route.retry_policy.retry_back_off": "Another host is another queue: waiting for it to recover "
    "helps nobody. The retry budget of the cluster keeps retries from storming.",
    "routes[decided].route.timeout": "Retries included. The service sets it per request "
    "(x-envoy-upstream-rq-timeout-ms), and likewise the timeout of one try.",
    "virtual_hosts[requests].request_body_buffer_limit": "BUFFERED and retries both hold the whole body; beyond "
    "this the client gets 413. The same number stands in every limit on a body's way.",
    "virtual_hosts[requests].include_attempt_count_in_response": "The client may know how many tries its answer "
    "took.",
}

_DECIDE: Final = {
    "http_filters[ttca.decide].typed_config.grpc_service.initial_metadata": "Tells the service which filter opened "
    "the stream.",
    "http_filters[ttca.decide].typed_config.failure_mode_allow": "Fail open: with the service dead, slow or wrong, "
    "the request goes on to the fallback routes.",
    "http_filters[ttca.decide].typed_config.processing_mode.request_header_mode": "With SKIP the headers would have "
    "reached the router before the body is judged, and every header mutation would be dropped without a trace.",
    "http_filters[ttca.decide].typed_config.processing_mode.request_body_mode": "The streamed modes sent the body "
    "twice when a retry followed (envoy#36119, envoy#45470); and the decision needs all of it anyway.",
    "http_filters[ttca.decide].typed_config.processing_mode.response_header_mode": "Answers do not pass through the "
    "service: no message per chunk, however many tokens are streamed.",
    "http_filters[ttca.decide].typed_config.message_timeout": "For each of the two messages; then it fails open. "
    "Parsing megabytes takes tens of milliseconds; the rest is room for a busy machine.",
    "http_filters[ttca.decide].typed_config.mutation_rules": "Without it every x-envoy-* header that the service sets "
    "is dropped in silence, and only the counter rejected_header_mutations moves.",
    "http_filters[ttca.decide].typed_config.metadata_options": "Forwarded: the subset that another filter allows. "
    "Received: the destination (envoy.lb) and the decision, which the access log carries back (ttca). Namespaces that "
    "are not listed are dropped.",
}

_READING: Final = {
    "http_filters[ttca.json].typed_config.request_rules": "Only on the fallback routes: the body's model, for the "
    "subset policy of the cluster `fleet`.",
    "http_filters[ttca.json].typed_config.response_rules": "Usage of plain answers. There is no on_missing: what was "
    "not reported must stay unknown, not become zero.",
    "http_filters[ttca.events].typed_config.response_rules.max_event_size": "The last event of /v1/responses holds the whole "
    "answer; the default of 8 KiB would drop it and its usage.",
    "http_filters[envoy.filters.http.router].typed_config.upstream_log": "One record per try.",
}

_CONNECTION: Final = {
    "listeners[ingress].per_connection_buffer_limit_bytes": "Plain answers are held whole while usage is read out of "
    "them, so this bounds them as well.",
    "early_header_mutation_extensions": "Runs before any filter and before the route is chosen. A client's "
    "x-request-id is moved aside, because ids join logs, traces and decisions, so two requests must never share one; "
    "its traceparent is kept, so that its trace goes on. "
    "x-ttca-expect, -session, -deadline-ms, -preset and -weights are for clients to send. The response says our id in x-request-id.",
    "tracing.provider.typed_config.sampler": "The caller's sampled flag decides; without a caller the ratio does, by "
    "trace id, so that every part of the system samples the same traces.",
    "tracing.spawn_upstream_span": "A span per try.",
    "access_log[envoy.access_loggers.http_grpc].typed_config.common_config.buffer_flush_interval": "Until the record "
    "arrives, the service counts the request as in flight.",
    "access_log[envoy.access_loggers.http_grpc].typed_config.additional_request_headers_to_log": "Joins the record "
    "with the decision and with the trace.",
    "local_reply_config": "Envoy's own answers in the shape of OpenAI's errors. What the service answers itself (its "
    "details begin with `ttca`) already has it.",
    "stream_idle_timeout": "Off: a request may queue for long without a byte. Its parts are bounded one by one: the "
    "upload (request_timeout), the answer (the route's timeout), the client that does not read (stream_flush_timeout).",
    "request_timeout": "For the whole request to arrive; slow senders hold memory.",
    "use_remote_address": "Envoy is the edge: the client's address is the connection's, whatever its headers claim.",
}

_CLUSTERS: Final = {
    "eds_cluster_config": "Instances come from a file that the service replaces by an atomic move; Envoy follows "
    "without a restart.",
    "ignore_health_on_host_removal": "Otherwise a removed instance stays until its health check fails, and it does "
    "not: the instance is well.",
    "healthy_panic_threshold": "Only when no instance at all looks well are the checks disbelieved. A server that is "
    "busy with a long prompt may miss its checks, and an outage of everything would be worse.",
    "update_merge_window": "Health and drain take effect at once instead of within a second.",
    "circuit_breakers.thresholds[0].max_connections": "Admission is the plan's business; the default limits of 1024 "
    "would answer 503 on their own.",
    "circuit_breakers.thresholds[0].retry_budget": "Retries at once as a share of requests in flight: a cluster that "
    "fails as a whole is not hit by several times its load.",
    "outlier_detection": "Takes an instance out of the fallback policy after failures in a row. A listed host is "
    "tried all the same: override_host does not look at health.",
    "health_checks": "For the fallback policy too; the service has its own view.",
    "override_host_sources": "Each try takes the next host of the list; hosts that Envoy does not have are skipped, "
    "and past its end the fallback policy picks.",
    "selected_host_key": "The access log says who really served.",
}

_UNION: Final = {
    "clusters[fleet]": "Every instance in one cluster, whose list of hosts a request's tries walk: for plans that cross deployments or judge answers, and for requests that nobody decided.",
    "clusters[fleet].typed_extension_protocol_options": "ATTEMPT: an ext_proc filter that runs once per try, after "
    "the host is known.",
    "http_filters[ttca.attempt].typed_config.failure_mode_allow": "Fail open: the try's answer is delivered as it is.",
    "http_filters[ttca.attempt].typed_config.request_attributes": "Which host this try goes to.",
    "http_filters[ttca.attempt].typed_config.processing_mode": "Bodies stay out, so streams are not held back; the service asks for a "
    "body when it has to read it: the request's for a host that serves another model, the answer's to verify it.",
    "http_filters[ttca.attempt].typed_config.allow_mode_override": "Lets the service ask for those bodies.",
    "http_filters[ttca.attempt].typed_config.max_message_timeout": "How long the service may ask Envoy to wait for an "
    "external judge.",
    "http_filters[ttca.attempt].typed_config.mutation_rules": "As in ttca.decide.",
    "clusters[fleet].circuit_breakers": "Envoy holds retries against the cluster of the "
    "first try and counts the requests in flight there alone, while retries go to fleet_named too: a budget of b % of "
    "everything in flight is 100 b / (100 - b) % of those.",
    "clusters[fleet_named]": "Goes to the instance that the ATTEMPT filter named when it rejected an answer: the load "
    "has changed since the request came. Nothing else can name one; one that cannot be reached is followed by the "
    "next host of the list, or by fleet_stand_in.",
    "clusters[fleet_named].circuit_breakers": "The retry budget of the first try's cluster holds.",
    "clusters[fleet_stand_in]": "Goes where the ATTEMPT filter said that the try after a named one is made if that one "
    "cannot be reached, and the list leads to a model whose answer was rejected since.",
    "subset_selectors": "Without a decision: an instance that serves the body's model, in the pool that the route "
    "found long enough; else any that serves the model; else (`auto` without an alias list, no model) any.",
    "list_as_any": "An instance answers to its model and to the aliases that include it.",
    "allow_redundant_keys": "envoy.lb also holds the destination that the service wrote.",
}

_OWN: Final = {
    "clusters[extproc]": "The service: ext_proc, access logs and, unless they go elsewhere, spans.",
    "clusters[extproc].connect_timeout": "A dead service costs a request this much at most before it fails open.",
    "clusters[extproc].health_checks": "With several replicas behind the name, a dead one would otherwise take its share of the "
    "streams, and with it the verdicts on requests that another replica decided. A lone one is asked whatever its checks say.",
    "clusters[extproc].circuit_breakers": "A stream per request in flight: the default of 1024 would fail open, in "
    "silence, just when it is busy.",
    "clusters[extproc].typed_extension_protocol_options": "HTTP/2 windows that take the largest body in one go. No "
    "keepalive pings: gRPC servers answer frequent ones by closing the connection.",
}

COMMENTS: Final[Mapping[str, str]] = MappingProxyType(
    _CONNECTION | _ROUTES | _DECIDE | _READING | _CLUSTERS | _UNION | _OWN
)
