"""What a running stack must do, asked from outside through its published ports.

Also against the official images: `docker compose up --build --wait` and then `python -m tests.compose.checks`.
"""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import Iterator

from tests.proof import Answer, Finding, attempt, call, show, until

GATEWAY, ENVOY_ADMIN, JAEGER = ("127.0.0.1", 10000), ("127.0.0.1", 9901), ("127.0.0.1", 16686)
CHAT = "/v1/chat/completions"
LONG_PROMPT = "The quick brown fox jumps over the lazy dog. " * 2000
"""About 20,000 tokens: too long for the short pool, not for the long one."""

HOPELESS_PROMPT = LONG_PROMPT * 8
LONG_INSTANCES = frozenset({"172.30.77.20:8004", "172.30.77.20:8005", "172.30.77.20:8008"})


def chat(prompt: str, headers: dict[str, str] | None = None, **fields: object) -> Answer:
    """One chat request to the gateway."""
    messages = [{"role": "user", "content": prompt}]
    body = {"model": "auto", "max_tokens": 16, "messages": messages, **fields}
    return call(GATEWAY, CHAT, body, headers)


def requests_by_instance() -> dict[str, int]:
    """Requests that Envoy has sent to each instance, by its own count."""
    statuses = call(ENVOY_ADMIN, "/clusters?format=json").json()["cluster_statuses"]
    counts: dict[str, int] = {}
    for host in (host for status in statuses for host in status.get("host_statuses", ())):
        address = host["address"].get("socket_address")
        if address is None or not address["address"].endswith(".20"):
            continue
        key = f"{address['address']}:{address['port_value']}"
        total = next((int(stat.get("value", 0)) for stat in host["stats"] if stat["name"] == "rq_total"), 0)
        counts[key] = counts.get(key, 0) + total
    return counts


def plain() -> Finding:
    """A plain request is answered, with usage."""
    answer = chat("Say hello.")
    if answer.status != 200:
        return Finding("plain chat request", passed=False, observed=f"{answer.status}, {answer.body[:200]}")
    usage = answer.json()["usage"]
    return Finding("plain chat request", usage["completion_tokens"] > 0, f"200, {usage=}")


def streaming() -> Finding:
    """A streamed request arrives as events, the last of them with the usage."""
    answer = chat("Say hello.", stream=True, stream_options={"include_usage": True})
    events = answer.events()
    passed = (
        answer.content_type.startswith("text/event-stream") and len(events) > 3 and events[-1] == "[DONE]"
    )
    usage = json.loads(events[-2]).get("usage") if passed else None
    return Finding(
        "streamed chat request", passed and bool(usage), f"{answer.status}, {len(events)} events, {usage=}"
    )


def long_prompt() -> Finding:
    """A long prompt is served by the long pool."""
    before = requests_by_instance()
    answer = chat(LONG_PROMPT)
    after = requests_by_instance()
    served = {name for name, count in after.items() if count > before.get(name, 0)}
    passed = answer.status == 200 and len(served) == 1 and served <= LONG_INSTANCES
    return Finding(
        "long prompt goes to the long pool", passed, f"{answer.status}, served by {sorted(served)}"
    )


def hopeless() -> Finding:
    """A prompt that fits nowhere is refused in the words of the OpenAI API."""
    answer = chat(HOPELESS_PROMPT)
    error = answer.json().get("error", {}) if answer.content_type.startswith("application/json") else {}
    message = str(error.get("message", answer.body))[:90]
    return Finding(
        "too long for any pool: refused", answer.status == 400 and bool(error), f"{answer.status}, {message}"
    )


def trace() -> Finding:
    """One request makes one trace, of Envoy's and the service's spans, which hangs together."""
    trace_id, client_span = secrets.token_hex(16), secrets.token_hex(8)
    chat("Say hello.", {"traceparent": f"00-{trace_id}-{client_span}-01"})

    def joined() -> str | None:
        answer = call(JAEGER, f"/api/traces/{trace_id}")
        if answer.status != 200:
            return None
        found = answer.json()["data"][0]
        known = {span["spanID"] for span in found["spans"]} | {client_span}
        parents = [reference["spanID"] for span in found["spans"] for reference in span["references"]]
        services = sorted({process["serviceName"] for process in found["processes"].values()})
        whole = len(services) >= 2 and len(parents) == len(found["spans"]) and set(parents) <= known
        return f"{len(parents)} spans of {', '.join(services)}" if whole else None

    observed = until(joined, 20)
    return Finding(
        "joined trace at the collector", observed is not None, observed or f"trace {trace_id} is not whole"
    )


def all_checks() -> Iterator[Finding]:
    """Every check, in order."""
    for check in (plain, streaming, long_prompt, hopeless, trace):
        yield attempt(check, check.__name__)


if __name__ == "__main__":
    outcomes = [show(finding) for finding in all_checks()]
    sys.exit(0 if all(outcomes) else 1)
