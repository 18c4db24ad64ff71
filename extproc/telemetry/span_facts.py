"""What is worth reading of a span: a short title and the few attributes that say who, where and how much.

Knows the attribute names of Envoy's tracer and of this service; unknown spans show their name and no facts.
"""

from __future__ import annotations

from collections.abc import Mapping

from extproc.telemetry import attributes
from extproc.telemetry.otlp import AttributeValue

_EXT_PROC_SPAN = "async envoy.service.ext_proc.v3.ExternalProcessor.Process egress"

_ENVOYS_REQUEST_ID = "guid:x-request-id"

_Attributes = Mapping[str, AttributeValue]


def title(name: str, span_attributes: _Attributes) -> str:
    """Return a span's name as people say it."""
    if name == _EXT_PROC_SPAN:
        return "ext_proc call"
    if name == "ingress" and "http.method" in span_attributes:
        path = str(span_attributes.get("http.url", "")).partition("://")[2].partition("/")[2]
        return f"{span_attributes['http.method']} /{path}"
    if name.startswith("router ") and name.endswith(" egress"):
        return f"try {1 + _count(span_attributes, 'retry.count')} on {span_attributes.get('upstream_address', '?')}"
    return name


def request_id(span_attributes: _Attributes) -> str:
    """Return the `x-request-id` that a span carries, in lower case; empty when it has none."""
    return str(
        span_attributes.get(attributes.REQUEST_ID, span_attributes.get(_ENVOYS_REQUEST_ID, ""))
    ).lower()


def facts(span_attributes: _Attributes) -> list[str]:
    """Return the facts of a span, most telling first, each short enough for half a line."""
    return [
        *_error_facts(span_attributes),
        *_envoy_facts(span_attributes),
        *_request_facts(span_attributes),
        *_plan_facts(span_attributes),
        *_attempt_facts(span_attributes),
        *_outcome_facts(span_attributes),
    ]


def event_facts(name: str, event_attributes: _Attributes) -> list[str]:
    """Return the facts of an event within a span; none of one that is not ours."""
    if name != attributes.BUDGET_EVENT:
        return []
    follows = (
        "another attempt follows" if event_attributes.get(attributes.BUDGET_GOES_ON) else "no further attempt"
    )
    instance = event_attributes.get(attributes.BUDGET_INSTANCE)
    where = f" on {instance}" if instance else ""
    return [f"{follows}{where}: {event_attributes.get(attributes.BUDGET_REASON, '?')}"]


def _error_facts(a: _Attributes) -> list[str]:
    if attributes.ERROR_REASON in a:
        return [f"refused: {a[attributes.ERROR_REASON]} ({a.get(attributes.HTTP_STATUS, '?')})"]
    if attributes.ERROR_TYPE in a:
        return [f"error {a[attributes.ERROR_TYPE]}"]
    return []


def _envoy_facts(a: _Attributes) -> list[str]:
    if "component" not in a:
        return []
    found = []
    if "http.status_code" in a:
        found.append(f"status {a['http.status_code']}")
    if a.get("response_flags", "-") != "-":
        found.append(f"flags {a['response_flags']}")
    if "http.status_code" in a and a.get("upstream_cluster", "-") != "-":
        found.append(f"cluster {a['upstream_cluster']}")
    if "request_size" in a:
        found.append(f"{a['request_size']} B in, {a.get('response_size', '?')} B out")
    return found


def _request_facts(a: _Attributes) -> list[str]:
    found = []
    if attributes.REQUEST_MODEL in a:
        found.append(f"{a.get(attributes.OPERATION, 'request')} asks for {a[attributes.REQUEST_MODEL]}")
    if attributes.BUDGET_TOTAL in a:
        found.append(
            f"budget {a[attributes.BUDGET_TOTAL]} = {a.get(attributes.BUDGET_PROMPT_UPPER)} prompt"
            f" (expected {a.get(attributes.BUDGET_PROMPT)}) + {a.get(attributes.BUDGET_OUTPUT)} output"
        )
    return found


def _plan_facts(a: _Attributes) -> list[str]:
    plan = a.get(attributes.PLAN)
    if not isinstance(plan, list):
        return []
    found = [f"pool {a[attributes.POOL]}"] if attributes.POOL in a else []
    found.append(f"{a.get(attributes.REASON)}")
    found.append(f"{a.get(attributes.CANDIDATES)} candidates")
    others = f", then {', '.join(plan[1:3])}{' …' if len(plan) > 3 else ''}" if plan[1:] else ""
    found.append(f"on {plan[0]}{others}")
    found.append(f"retries ≤ {a.get(attributes.MAX_RETRIES)}")
    hedge = a.get(attributes.HEDGE_SECONDS)
    if isinstance(hedge, float):
        found.append(f"raced after {hedge:.3g} s")
    if attributes.WISH in a:
        found.append(f"wish: {a[attributes.WISH]}")
    return found


def _attempt_facts(a: _Attributes) -> list[str]:
    if attributes.ATTEMPT_VERDICT not in a:
        return []
    reason = f" ({a[attributes.ATTEMPT_VERDICT_REASON]})" if attributes.ATTEMPT_VERDICT_REASON in a else ""
    found = [
        f"attempt {a.get(attributes.ATTEMPT_NUMBER)} {a[attributes.ATTEMPT_VERDICT]}{reason}",
        f"{a.get(attributes.RESPONSE_MODEL)} on {a.get(attributes.INSTANCE)}",
    ]
    chance = a.get(attributes.ATTEMPT_CHANCE)
    if isinstance(chance, float):
        found.append(f"chance {chance:.0%}")
    return found


def _outcome_facts(a: _Attributes) -> list[str]:
    if attributes.ATTEMPTS not in a:
        return []
    found = []
    if attributes.HTTP_STATUS in a:
        found.append(f"status {a[attributes.HTTP_STATUS]}")
    if attributes.SERVED_INSTANCE in a:
        found.append(f"served by {a[attributes.SERVED_INSTANCE]}")
    tries = _count(a, attributes.ATTEMPTS)
    found.append(f"{tries} {'try' if tries == 1 else 'tries'}")
    ttft = a.get(attributes.TTFT_SECONDS)
    if isinstance(ttft, float):
        found.append(f"first byte {ttft * 1e3:.1f} ms")
    if attributes.USAGE_INPUT_TOKENS in a or attributes.USAGE_OUTPUT_TOKENS in a:
        used = (a.get(attributes.USAGE_INPUT_TOKENS, "?"), a.get(attributes.USAGE_OUTPUT_TOKENS, "?"))
        found.append(f"tokens {used[0]} in, {used[1]} out")
    error = a.get(attributes.ESTIMATE_ERROR)
    if isinstance(error, float):
        found.append(f"prompt estimate {error:+.1%}")
    return found


def _count(span_attributes: _Attributes, key: str) -> int:
    """Return a count that Envoy writes as text."""
    text = str(span_attributes.get(key, "0"))
    return int(text) if text.isdecimal() else 0
