from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from extproc.gateway.endpoints import write_endpoints
from extproc.gateway.render import render_envoy_yaml
from extproc.protocol import names
from extproc.settings import load_settings
from extproc.settings.load import parse_settings

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("fleet", "rendered"),
    [("fleet.yaml", "envoy.yaml"), ("fleet.compose.yaml", "compose/envoy.yaml")],
)
def test_a_committed_configuration_is_the_rendered_one(fleet: str, rendered: str) -> None:
    """`make render` writes it again."""
    text = render_envoy_yaml(load_settings(ROOT / "envoy" / fleet), source=Path("envoy") / fleet)

    assert text == (ROOT / "envoy" / rendered).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "name",
    [
        names.CLUSTER,
        names.DESTINATION,
        names.DESTINATION_SERVED,
        names.DECISION_ID,
        names.RETRY,
        names.ROLE,
        names.ROLE_DECIDE,
        names.ROLE_ATTEMPT,
        names.TRACEPARENT,
        names.LB_NAMESPACE,
        names.SUBSET_NAMESPACE,
        names.DECISION_NAMESPACE,
        names.USAGE_NAMESPACE,
        names.ATTRIBUTE_UPSTREAM_ADDRESS,
        names.REQUEST_LOG,
        names.ATTEMPT_LOG,
        names.UNION_CLUSTER,
    ],
)
def test_the_committed_configuration_uses_our_names(name: str) -> None:
    """What the service writes and reads is spelt in Envoy's configuration as in the service."""
    assert name in (ROOT / "envoy" / "envoy.yaml").read_text(encoding="utf-8")


def test_envoys_folder_holds_no_python() -> None:
    """A package there would hide the Python package `envoy` that brings the binary."""
    assert [] == list((ROOT / "envoy").rglob("*.py"))


VARIANTS = {
    "as committed": "",
    "unix socket": "service: {listen: 'unix:/tmp/service.sock'}\n",
    "spans elsewhere": "telemetry: {otlp_endpoint: 'localhost:4317', sample_ratio: 0.1}\n",
    "every budget": "budgets: {max_attempts: 1, per_try_timeout_seconds: 0.5, request_timeout_seconds: 2.5, "
    "retry_budget_percent: 0, min_retry_concurrency: 0}\n",
    "IPv6": "gateway: {listen: '[::1]:10000', admin: '[::1]:9901'}\n",
}


@pytest.mark.e2e
@pytest.mark.parametrize("extra", VARIANTS.values(), ids=VARIANTS)
def test_envoy_accepts_what_is_rendered(tmp_path: Path, envoy_command: str, extra: str) -> None:
    """The real binary checks the whole configuration, extensions included."""
    text = (ROOT / "tests" / "data" / "fleet" / "valid.yaml").read_text(encoding="utf-8")
    settings = (
        parse_settings(text + extra, Path("fleet.yaml"))
        if extra
        else load_settings(ROOT / "envoy/fleet.yaml")
    )
    write_endpoints(tmp_path / "endpoints", settings.fleet())
    (tmp_path / "envoy.yaml").write_text(
        render_envoy_yaml(settings, tmp_path / "endpoints"), encoding="utf-8"
    )

    done = subprocess.run(
        [envoy_command, "--mode", "validate", "-c", str(tmp_path / "envoy.yaml"), "-l", "error"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert 0 == done.returncode, done.stderr
