"""Every span attribute that the service sets, each with its meaning.

The first group are OpenTelemetry semantic conventions; a test holds them to the installed conventions package.
"""

from __future__ import annotations

ERROR_TYPE = "error.type"
HTTP_STATUS = "http.response.status_code"
OPERATION = "gen_ai.operation.name"
PROVIDER = "gen_ai.provider.name"
REQUEST_CHOICES = "gen_ai.request.choice.count"
REQUEST_MAX_TOKENS = "gen_ai.request.max_tokens"
REQUEST_MODEL = "gen_ai.request.model"
REQUEST_STREAM = "gen_ai.request.stream"
RESPONSE_MODEL = "gen_ai.response.model"
SERVER_ADDRESS = "server.address"
SERVER_PORT = "server.port"
USAGE_INPUT_TOKENS = "gen_ai.usage.input_tokens"
USAGE_OUTPUT_TOKENS = "gen_ai.usage.output_tokens"

TTFT_SECONDS = "ttca.ttft_seconds"
"""From the request's start at Envoy to the first byte from upstream."""

ATTEMPTS = "ttca.attempts"
"""Upstream tries that were made."""

ATTEMPT_CHANCE = "ttca.attempt.chance"
"""What the plan gave for this try's being correct."""

ATTEMPT_NUMBER = "ttca.attempt.number"
"""Which upstream try of the request this is, from 1."""

ATTEMPT_VERDICT = "ttca.attempt.verdict"
"""`accepted`, `rejected` or `unverified`."""

ATTEMPT_VERDICT_REASON = "ttca.attempt.verdict_reason"
"""Why the answer was rejected, or could not be verified."""

ATTEMPT_CHECKS = "ttca.attempt.checks"
"""Checks that the answer met."""

BUDGET_GOES_ON = "ttca.budget.goes_on"
"""True when another attempt follows."""

BUDGET_REASON = "ttca.budget.reason"
"""Why another attempt follows, or none."""

BUDGET_INSTANCE = "ttca.budget.instance"
"""Instance of the attempt that follows."""

BUDGET_EVENT = "ttca.budget"
"""Name of the event that tells, after a rejected answer, whether another attempt follows."""

HEDGE_SECONDS = "ttca.hedge_seconds"
"""How long a try of the plan is under way when the next one starts beside it."""

BODY_BYTES = "ttca.body_bytes"
"""Size of the request body."""

BUDGET_OUTPUT = "ttca.token_budget.output"
"""Output tokens provided for."""

BUDGET_PROMPT = "ttca.token_budget.prompt"
"""Expected prompt tokens."""

BUDGET_PROMPT_UPPER = "ttca.token_budget.prompt_upper"
"""Conservative prompt tokens."""

BUDGET_TOTAL = "ttca.token_budget.total"
"""Tokens that pools and limits are held against."""

CANDIDATES = "ttca.candidates"
"""Instances that were eligible."""

CLUSTER = "ttca.cluster"
"""Envoy cluster that the route takes."""

DECISION_ID = "ttca.decision_id"
"""Joins the decision with Envoy's records of it."""

ELAPSED_SECONDS = "ttca.elapsed_seconds"
"""Since TTCA began to count."""

ENVOY_FLAGS = "ttca.envoy.response_flags"
"""Envoy's response flags that are set."""

ERROR_REASON = "ttca.error_reason"
"""Machine-readable reason of a refusal."""

ESTIMATE_ERROR = "ttca.estimate.error_ratio"
"""(expected - actual) / actual prompt tokens; negative when the estimate was too small."""

INSTANCE = "ttca.instance"
"""`ip:port` of the plan's first attempt."""

MAX_RETRIES = "ttca.max_retries"
"""Retries that Envoy may make."""

PLAN = "ttca.plan"
"""`ip:port` of each attempt, in order."""

POOL = "ttca.pool"
"""Pool of the plan's first attempt."""

REASON = "ttca.reason"
"""Why this pool and this order."""

REQUEST_ID = "ttca.request_id"
"""Envoy's `x-request-id`."""

SERVED_INSTANCE = "ttca.served_instance"
"""`ip:port` of the instance that really served."""

WISH = "ttca.wish"
"""What became of the client's wish for other weights."""

EXPECTED_USD = "ttca.expected_usd"
"""Expected price of the plan in US dollars, its retries at their chances."""

WORK_SECONDS = "ttca.work_seconds"
"""Predicted work of the plan's first attempt."""
