from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from extproc.gateway.render import envoy_tree, render_envoy_yaml
from extproc.settings import Settings
from extproc.settings.load import parse_settings


def test_the_text_says_what_was_built(settings: Settings) -> None:
    """Comments and layout change nothing."""
    text = render_envoy_yaml(settings, Path("e"))

    assert envoy_tree(settings, Path("e")) == yaml.safe_load(text)


def test_the_directory_is_the_files_unless_another_is_named(settings: Settings) -> None:
    """The service and Envoy agree on it through the fleet file."""
    assert "out/run/endpoints/fleet.json" in render_envoy_yaml(settings)
    assert "/elsewhere/fleet.json" in render_envoy_yaml(settings, Path("/elsewhere"))


def test_the_first_line_names_the_fleet_file(settings: Settings) -> None:
    """As whoever renders it calls it: the reader is to edit that one."""
    text = render_envoy_yaml(settings, source=Path("clusters/eu/fleet.yaml"))

    assert text.startswith(
        "# Rendered by `ttca render` from clusters/eu/fleet.yaml: edit that file, not this one.\n"
    )


def test_rendering_is_repeatable(settings: Settings) -> None:
    """The same file gives the same text, byte for byte."""
    assert render_envoy_yaml(settings) == render_envoy_yaml(settings)


@pytest.mark.parametrize(
    "budgets", ["retry_budget_percent: 0", "retry_budget_percent: 100", "per_try_timeout_seconds: 5"]
)
def test_every_budget_can_be_rendered(text: str, budgets: str) -> None:
    """Each comment finds its place, whatever the file leaves out or switches off."""
    settings = parse_settings(text + f"budgets: {{{budgets}}}\n", Path("fleet.yaml"))

    assert envoy_tree(settings, Path("e")) == yaml.safe_load(render_envoy_yaml(settings, Path("e")))
