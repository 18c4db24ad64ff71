"""Every header, metadata key and attribute that Envoy and the service exchange, each with its meaning.

Nothing else in the repository spells these names; `gateway` renders them into Envoy's configuration.
"""

from __future__ import annotations

from extproc.verify.expectation import HEADER

DESTINATION = "x-gateway-destination-endpoint"
"""Request header and `envoy.lb` metadata: ordered `ip:port,ip:port,…` (endpoint-picker protocol 004)."""

DESTINATION_SERVED = "x-gateway-destination-endpoint-served"
"""`envoy.lb` metadata: the `ip:port` that served, written by Envoy's override_host policy."""

SUBSET = "x-gateway-destination-endpoint-subset"
"""`envoy.lb.subset_hint` metadata: the only endpoints that may be picked (endpoint-picker protocol 004)."""

CLUSTER = "x-ttca-cluster"
"""Request header: the Envoy cluster that the route takes (`cluster_header`)."""

DECISION_ID = "x-ttca-decision-id"
"""Request header, logged by Envoy: joins the decision, its tries and its access-log entry."""

ATTEMPT_LIMITS = "x-ttca-attempt"
"""Request header: what the ATTEMPT filter must know of the plan, so that any replica can serve its stream."""

EXPECT = HEADER
"""Request header of clients: what a correct answer must satisfy (grammar: docs/verification.md)."""

SESSION = "x-ttca-session"
"""Request header of clients who judge for themselves: joins requests that ask the same thing again."""

DEADLINE = "x-ttca-deadline-ms"
"""Request header of clients: milliseconds after which an answer is of no use."""

PRESET = "x-ttca-preset"
"""Request header of clients: the preset of weights to plan by, where the operator allows it."""

WEIGHTS = "x-ttca-weights"
"""Request header of clients: `quality=0.6,latency=0.3,cost=0.1`, where the operator allows it."""

MODELS_PATH = "/v1/models"
"""Where clients ask which models there are."""

FEEDBACK_PATH = "/v1/feedback"
"""Where clients who judge for themselves post their verdicts."""

VERDICT = "x-ttca-verdict"
"""Response header: `accepted`, `rejected` (the last answer of an exhausted plan) or `unverified`."""

VERDICT_REASON = "x-ttca-verdict-reason"
"""Response header: machine-readable reason of the verdict."""

WISH = "x-ttca-wish"
"""Response header: the client's wish for other weights, and why it was not granted."""

INSTANCE = "x-ttca-instance"
"""Response header: `ip:port` of the instance that answered."""

ATTEMPTS = "x-ttca-attempts"
"""Response header: tries that were made, this one included."""

ELAPSED = "x-ttca-elapsed-ms"
"""Response header of verified answers: milliseconds so far, since the first request of the session or, without one, since the decision."""

RETRY = "x-ttca-retry"
"""Response header set by the ATTEMPT filter: Envoy's router retries on the plan's next instance."""

ERROR_REASON = "x-ttca-error-reason"
"""Response header of an answer made by the service: machine-readable reason."""

ROLE = "x-ttca-role"
"""gRPC initial metadata of an ext_proc stream: which filter opened it."""

ROLE_DECIDE = "decide"
ROLE_ATTEMPT = "attempt"

REQUEST_ID = "x-request-id"
TRACEPARENT = "traceparent"
CONTENT_LENGTH = "content-length"
MODEL_HEADER = "x-ttca-model"
"""Response header: the model that answered."""

MAX_RETRIES = "x-envoy-max-retries"
PER_TRY_TIMEOUT = "x-envoy-upstream-rq-per-try-timeout-ms"
TIMEOUT = "x-envoy-upstream-rq-timeout-ms"
HEDGE = "x-envoy-hedge-on-per-try-timeout"
ATTEMPT_COUNT = "x-envoy-attempt-count"

LB_NAMESPACE = "envoy.lb"
SUBSET_NAMESPACE = "envoy.lb.subset_hint"
DECISION_NAMESPACE = "ttca"
"""Dynamic metadata written by DECIDE; the access log carries it back (keys: `protocol/decision_metadata.py`)."""

NEXT_NAMESPACE = "ttca.next"
"""Dynamic metadata of plans in the union cluster: where Envoy makes the next try (keys: `protocol/naming.py`)."""

USAGE_NAMESPACE = "ttca.usage"
"""Dynamic metadata written by Envoy's json_to_metadata and sse_to_metadata: `prompt_tokens`, `completion_tokens`."""

ATTRIBUTE_UPSTREAM_ADDRESS = "upstream.address"

REQUEST_LOG = "ttca.request"
"""Access-log stream with one entry per finished request."""

ATTEMPT_LOG = "ttca.attempt"
"""Access-log stream with one entry per finished upstream try."""

UNION_CLUSTER = "fleet"
"""The Envoy cluster that holds every instance and the ATTEMPT filter."""

NAMED_CLUSTER = "fleet_named"
"""The Envoy cluster that goes to the instance that the ATTEMPT filter named, and has that filter too."""

STAND_IN_CLUSTER = "fleet_stand_in"
"""The same for the instance that stands in for a named one that cannot be reached."""

CONTROL_HEADERS = (DESTINATION, DESTINATION_SERVED, CLUSTER, DECISION_ID, ATTEMPT_LIMITS, RETRY)
"""Headers that steer: Envoy strips a client's copies before any filter sees them, `x-envoy-*` besides."""

ANSWER_HEADERS = (VERDICT, VERDICT_REASON, MODEL_HEADER, INSTANCE, ATTEMPTS, ELAPSED, WISH, ERROR_REASON)
"""Headers of answers; in a request they are a client's mistake or trick, and stripped too."""

CLIENT_HEADERS = (EXPECT, SESSION, DEADLINE, PRESET, WEIGHTS)
"""Headers that clients may send to us; they ask, and steer nothing."""
