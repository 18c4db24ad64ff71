"""Settings for the tests of the gateway: two models, two pools, an alias."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from extproc.gateway.render import envoy_tree
from extproc.settings import Settings
from extproc.settings.load import parse_settings

TEXT = """
version: 1
pools: [{name: short, threshold_tokens: 1000}, {name: long}]
clusters:
  - {name: a-short, model: a, pool: short, max_model_len: 1000, max_num_seqs: 8, price_usd_per_mtok: &p
      {input: 1, output: 1}, instances: ["10.0.0.1:80", {address: "[fd00::1]:80", draining: true}]}
  - {name: b-long, model: b, pool: long, max_model_len: 9000, max_num_seqs: 8, price_usd_per_mtok: *p,
      instances: ["10.0.0.2:80"]}
aliases: {fast: [a]}
"""


@pytest.fixture
def text() -> str:
    """A small fleet file."""
    return TEXT


@pytest.fixture
def settings() -> Settings:
    """What the small fleet file says."""
    return parse_settings(TEXT, Path("fleet.yaml"))


@pytest.fixture
def tree(settings: Settings) -> dict[str, Any]:
    """Envoy's configuration for it."""
    return envoy_tree(settings, Path("endpoints"))


@pytest.fixture
def connection_manager(tree: dict[str, Any]) -> dict[str, Any]:
    """The part of it that handles HTTP."""
    found: dict[str, Any] = tree["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]
    config: dict[str, Any] = found["typed_config"]
    return config


@pytest.fixture
def clusters(tree: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Its clusters by name."""
    return {cluster["name"]: cluster for cluster in tree["static_resources"]["clusters"]}
