from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from extproc.gateway.filters import ATTEMPT_FILTER, DECIDE_FILTER
from extproc.gateway.render import render_envoy_yaml
from extproc.settings import Settings, load_settings
from loadgen.bench.arms import fleet_document, without_fallback_extras


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """The benchmark's fleet of 16 instances, as the service would read it."""
    path = tmp_path / "fleet.yaml"
    path.write_text(yaml.safe_dump(fleet_document(range(20_001, 20_017), range(30_001, 30_005))))
    return load_settings(path)


def test_the_fleet_has_two_models_in_two_pools(settings: Settings) -> None:
    """Three quarters of the instances are short; the long ones hold the largest body."""
    sizes = {cluster.name: len(cluster.instances) for cluster in settings.clusters}

    assert {"llama-short": 6, "llama-long": 2, "qwen-short": 6, "qwen-long": 2} == sizes
    assert 16 == len({instance.address for cluster in settings.clusters for instance in cluster.instances})
    assert 0.0 == settings.telemetry.sample_ratio


def test_an_odd_fleet_is_refused() -> None:
    """Instances come in eights, so that the proportions hold."""
    with pytest.raises(ValueError, match="multiple of 8 instances, got 12"):
        fleet_document(range(12), range(4))


@pytest.mark.parametrize("dropped", [{ATTEMPT_FILTER}, {ATTEMPT_FILTER, DECIDE_FILTER}])
def test_an_arm_loses_exactly_its_filters(settings: Settings, dropped: set[str]) -> None:
    """The filters in question are gone, requests' bodies are not parsed by Envoy, and all else stays."""
    config = yaml.safe_load(render_envoy_yaml(settings))
    text = yaml.safe_dump(without_fallback_extras(config, dropped))
    before = yaml.safe_dump(config)

    assert {name for name in (ATTEMPT_FILTER, DECIDE_FILTER) if f"- name: {name}\n" in text} == {
        ATTEMPT_FILTER,
        DECIDE_FILTER,
    } - dropped
    assert "request_rules" in before
    assert "request_rules" not in text
    for kept in ("response_rules", "ttca.events", "upstream_log", "early_header_mutation", "tracing"):
        assert before.count(kept) == text.count(kept) > 0
