from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from extproc.gateway.render import envoy_tree
from extproc.server.health import CHECK_SECONDS, UNHEALTHY_CHECKS
from extproc.settings.load import parse_settings

OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def test_there_is_one_per_deployment_the_union_and_the_service(clusters: dict[str, Any]) -> None:
    """Spans go to the service, so nothing else is called."""
    assert ["a-short", "b-long", "fleet", "fleet_named", "fleet_stand_in", "extproc"] == list(clusters)


def test_only_the_union_and_named_instances_call_the_service_per_try(clusters: dict[str, Any]) -> None:
    """The deployments are the fast path."""
    filters = {
        name: [
            item["name"]
            for item in cluster["typed_extension_protocol_options"][OPTIONS].get("http_filters", [])
        ]
        for name, cluster in clusters.items()
    }

    per_try = ["ttca.attempt", "envoy.filters.http.upstream_codec"]
    assert {
        "a-short": [],
        "b-long": [],
        "extproc": [],
        "fleet": per_try,
        "fleet_named": per_try,
        "fleet_stand_in": per_try,
    } == filters


@pytest.mark.parametrize(("name", "field"), [("fleet_named", "address"), ("fleet_stand_in", "stand_in")])
def test_a_named_instance_is_reached_by_its_address_alone(
    clusters: dict[str, Any], name: str, field: str
) -> None:
    """Out of metadata that only the ATTEMPT filter writes: no header of a client's leads there."""
    named = clusters[name]

    assert ("ORIGINAL_DST", "CLUSTER_PROVIDED") == (named["type"], named["lb_policy"])
    assert {"metadata_key": {"key": "ttca.next", "path": [{"key": field}]}} == named["original_dst_lb_config"]


def test_the_service_is_asked_for_its_health(clusters: dict[str, Any]) -> None:
    """By gRPC once a second, so that a dead replica loses its share of the streams; a lone one keeps them all."""
    [check] = clusters["extproc"]["health_checks"]

    assert ({}, "1s", "1s") == (check["grpc_health_check"], check["interval"], check["no_traffic_interval"])
    assert {"value": 1.0} == clusters["extproc"]["common_lb_config"]["healthy_panic_threshold"]


def test_the_service_reckons_with_the_checks_that_are_rendered(clusters: dict[str, Any]) -> None:
    """It serves on, when it is to end, until Envoy has heard so often enough to send nothing more."""
    [check] = clusters["extproc"]["health_checks"]

    assert (f"{CHECK_SECONDS:g}s", UNHEALTHY_CHECKS) == (check["interval"], check["unhealthy_threshold"])
    assert f"{CHECK_SECONDS:g}s" == check["no_traffic_interval"]


def test_each_follows_its_own_file(clusters: dict[str, Any]) -> None:
    """The file's name is the cluster's."""
    paths = {
        name: clusters[name]["eds_cluster_config"]["eds_config"]["path_config_source"]["path"]
        for name in ("a-short", "b-long", "fleet")
    }

    assert {
        "a-short": "endpoints/a-short.json",
        "b-long": "endpoints/b-long.json",
        "fleet": "endpoints/fleet.json",
    } == paths


@pytest.mark.parametrize(
    ("percent", "of_the_first_tries"), [(7.5, 8.108), (50.0, 100.0), (60.0, None), (100.0, None)]
)
def test_the_retry_budget_is_the_files(text: str, percent: float, of_the_first_tries: float | None) -> None:
    """Both numbers reach every deployment; the union's is of the first tries, and none when those cannot express it."""
    settings = parse_settings(
        text + f"budgets: {{retry_budget_percent: {percent}, min_retry_concurrency: 2}}\n", Path("f")
    )
    tree = envoy_tree(settings, Path("e"))

    thresholds = {
        cluster["name"]: cluster["circuit_breakers"]["thresholds"][0]
        for cluster in tree["static_resources"]["clusters"]
    }
    budgets = {name: limits.get("retry_budget") for name, limits in thresholds.items()}
    expected = {"budget_percent": {"value": percent}, "min_retry_concurrency": 2}
    assert [expected, expected, None, None] == [
        budgets[name] for name in ("a-short", "b-long", "fleet_named", "extproc")
    ]
    if of_the_first_tries is None:
        assert budgets["fleet"] is None
        assert thresholds["fleet"]["max_retries"] == thresholds["fleet_named"]["max_retries"] == 1_000_000
    else:
        assert pytest.approx(of_the_first_tries, abs=0.001) == budgets["fleet"]["budget_percent"]["value"]


def test_a_receiver_of_spans_elsewhere_gets_a_cluster(text: str) -> None:
    """A name is resolved by DNS, an address is taken as it is."""
    types = {}
    for endpoint in ("jaeger:4317", "10.0.0.9:4317"):
        settings = parse_settings(text + f"telemetry: {{otlp_endpoint: '{endpoint}'}}\n", Path("f"))
        tree = envoy_tree(settings, Path("e"))
        types[endpoint] = {item["name"]: item["type"] for item in tree["static_resources"]["clusters"]}[
            "otlp"
        ]

    assert {"jaeger:4317": "STRICT_DNS", "10.0.0.9:4317": "STATIC"} == types


def test_the_service_may_listen_on_a_socket(text: str) -> None:
    """Envoy reaches it by path."""
    settings = parse_settings(text + "service: {listen: 'unix:/run/t.sock'}\n", Path("f"))
    tree = envoy_tree(settings, Path("e"))

    service = tree["static_resources"]["clusters"][-1]
    endpoint = service["load_assignment"]["endpoints"][0]["lb_endpoints"][0]
    assert {"pipe": {"path": "/run/t.sock"}} == endpoint["endpoint"]["address"]
