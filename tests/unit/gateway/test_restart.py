from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from extproc.gateway.render import envoy_tree
from extproc.gateway.restart import FALLBACK_ONLY, changes_needing_envoy_restart
from extproc.settings import Settings
from extproc.settings.expectation import resolve, settings_schema
from extproc.settings.load import parse_settings

OTHER = {
    "gateway.listen": "127.0.0.1:7001",
    "gateway.admin": "127.0.0.1:7002",
    "service.listen": "unix:/run/other.sock",
    "service.admin": "127.0.0.1:7003",
    "telemetry.otlp_endpoint": "jaeger:4317",
    "telemetry.sample_ratio": 0.5,
    "budgets.per_try_timeout_seconds": 5.0,
    "budgets.max_output_tokens": 5,
    "budgets.output_quantile": 0.5,
    "policy.name": "random",
    "policy.quality_norm": "minmax",
    "objective.preset": "quality",
    "objective.weights": {"quality": 0.5, "latency": 0.3, "cost": 0.2},
    "overrides.presets": ["quality"],
    "overrides.weights": {"quality": {"min": 0.1, "max": 0.9}},
    "gateway.max_body_bytes": 1_000_000,
    "gateway.passthrough": ["/tokenize"],
    "verification.mode": "always",
    "verification.own_limit_is_failure": True,
    "verification.refusal_is_failure": True,
    "verification.min_mean_logprob": -2.0,
    "quality.model_directory": "models/other",
    "quality.outcome_log": "other.jsonl",
    "verification.judge": {"kind": "http", "url": "http://127.0.0.1:7009/judge"},
}
"""A value unlike the default, where counting up does not make one."""

COMMAND_LINE = ("gateway.concurrency",)
"""Handed to Envoy when it is started, not part of its configuration."""


def fields() -> Iterator[str]:
    """Every field of the sections that are plain mappings."""
    for section, about in settings_schema()["properties"].items():
        for field in resolve(about).get("properties", ()):
            yield f"{section}.{field}"


def changed(settings: Settings, place: str) -> Settings:
    """Give one field another value."""
    section, field = place.split(".")
    tree = copy.deepcopy(settings.model_dump())
    value = tree[section][field]
    tree[section][field] = (
        OTHER[place] if place in OTHER else value + "x" if isinstance(value, str) else (value or 0) + 1
    )
    if place == "scrape.jitter":
        tree[section][field] = 0.9
    return Settings.model_validate(tree)


@pytest.mark.parametrize("place", list(fields()))
def test_what_is_rendered_for_every_request_needs_a_restart(settings: Settings, place: str) -> None:
    """Each field is told exactly when it changes what Envoy does with a request that the service decided."""
    other = changed(settings, place)
    is_rendered = envoy_tree(settings, Path("e")) != envoy_tree(other, Path("e")) or (
        place == "gateway.endpoints_directory" and envoy_tree(settings) != envoy_tree(other)
    )

    lines = changes_needing_envoy_restart(settings, other)

    expected = place in COMMAND_LINE or (is_rendered and place not in FALLBACK_ONLY)
    assert expected == bool(lines)
    assert all(line.startswith(place) for line in lines)


def test_instances_and_what_only_the_service_uses_need_none(settings: Settings, text: str) -> None:
    """Instances come by file; prices, limits and aliases are the service's own."""
    for old, new in [
        ('"10.0.0.2:80"', '"10.0.0.7:80", "10.0.0.8:80"'),
        ("max_num_seqs: 8", "max_num_seqs: 9"),
        ("input: 1", "input: 2"),
        ("max_model_len: 9000", "max_model_len: 8000"),
        ("fast: [a]", "fast: [b]"),
        ("threshold_tokens: 1000", "threshold_tokens: 900"),
    ]:
        assert [] == changes_needing_envoy_restart(
            settings, parse_settings(text.replace(old, new), Path("f"))
        )


def test_clusters_that_come_and_go_are_named(settings: Settings, text: str) -> None:
    """A renamed cluster is one that went and one that came."""
    renamed: Any = parse_settings(text.replace("name: b-long", "name: b-longer"), Path("f"))

    assert ["clusters: b-longer was added", "clusters: b-long was removed"] == changes_needing_envoy_restart(
        settings, renamed
    )


def test_a_change_is_shown_with_both_values(settings: Settings) -> None:
    """The operator sees what the file said before."""
    [line] = changes_needing_envoy_restart(settings, changed(settings, "gateway.listen"))

    assert "gateway.listen: 127.0.0.1:10000 → 127.0.0.1:7001" == line
