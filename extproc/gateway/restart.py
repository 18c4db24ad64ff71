"""Which changes of the fleet file a running Envoy cannot follow.

What `render` writes is of three kinds: what only Envoy does (`_RENDERED`), what the service tells Envoy per request
and Envoy does itself when nobody decided (`FALLBACK_ONLY`), and the instances, which come by file. Only the first
kind needs a restart. A test changes every field of the fleet file and holds these lists against what is rendered.

They are lists, and no comparison of rendered texts, because the service asks on its event loop, and rendering would
stop that for a second.
"""

from __future__ import annotations

from typing import Any

from extproc.settings import Settings

_RENDERED = {
    "gateway": ("listen", "admin", "endpoints_directory", "max_body_bytes", "concurrency", "passthrough"),
    "service": ("listen",),
    "telemetry": ("otlp_endpoint", "sample_ratio", "service_name"),
    "budgets": ("retry_budget_percent", "min_retry_concurrency"),
}

FALLBACK_ONLY = (
    "budgets.max_attempts",
    "budgets.per_try_timeout_seconds",
    "budgets.request_timeout_seconds",
    "pools",
)
"""Rendered for requests that nobody decided: changed live for all others, for these with the next rendering."""


def changes_needing_envoy_restart(old: Settings, new: Settings) -> list[str]:
    """Say, a line each, what changed that takes a newly rendered configuration; empty when Envoy follows by itself."""
    lines = [
        f"{section}.{field}: {_shown(before)} → {_shown(after)}"
        for section, fields in _RENDERED.items()
        for field in fields
        if (before := getattr(getattr(old, section), field))
        != (after := getattr(getattr(new, section), field))
    ]
    names = [cluster.name for cluster in old.clusters], [cluster.name for cluster in new.clusters]
    lines += [f"clusters: {name} was added" for name in names[1] if name not in names[0]]
    lines += [f"clusters: {name} was removed" for name in names[0] if name not in names[1]]
    return lines


def _shown(value: Any) -> str:  # noqa: ANN401 - any field's value
    return "null" if value is None else str(value)
