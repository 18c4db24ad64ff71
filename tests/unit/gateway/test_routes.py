from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from extproc.gateway.render import envoy_tree
from extproc.protocol import names, naming
from extproc.settings.load import parse_settings
from extproc.settings.schema import MOST_ATTEMPTS


def virtual_host(tree: dict[str, Any]) -> dict[str, Any]:
    """The only one there is."""
    manager = tree["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    [host] = manager["route_config"]["virtual_hosts"]
    found: dict[str, Any] = host
    return found


def test_a_plan_in_the_union_may_be_sent_elsewhere_between_its_tries(tree: dict[str, Any]) -> None:
    """Each try has a group, all of them the union's; only metadata puts one of the last two, beyond any try, in a try's place."""
    union = virtual_host(tree)["routes"][1]

    assert [{"name": names.CLUSTER, "string_match": {"exact": names.UNION_CLUSTER}}] == union["match"][
        "headers"
    ]
    assert union["route"]["retry_policy"]["refresh_cluster_on_retry"] is True
    assert 0 == union["route"]["retry_policy"]["num_retries"]
    specifier = union["route"]["inline_cluster_specifier_plugin"]["extension"]["typed_config"]
    clusters = [group["clusters"][0]["cluster_name"] for group in specifier["priority_groups"]]
    assert [names.UNION_CLUSTER] * MOST_ATTEMPTS + [names.NAMED_CLUSTER, names.STAND_IN_CLUSTER] == clusters
    assert [naming.NAMED, naming.STAND_IN] == [group["name"] for group in specifier["priority_groups"][-2:]]
    assert names.NEXT_NAMESPACE == specifier["override_metadata_namespace"]


def test_a_decision_comes_first_and_may_grant_retries(tree: dict[str, Any]) -> None:
    """The service names the cluster; without its word there is one attempt."""
    decided = virtual_host(tree)["routes"][2]

    assert [{"name": names.CLUSTER, "present_match": True}] == decided["match"]["headers"]
    assert names.CLUSTER == decided["route"]["cluster_header"]
    assert 0 == decided["route"]["retry_policy"]["num_retries"]
    assert "per_try_timeout" not in decided["route"]["retry_policy"]


def test_a_decided_answer_says_who_gave_it(tree: dict[str, Any]) -> None:
    """Model, instance, tries, the fate of a wish and the missing verdict, unless the ATTEMPT filter said so before; never its retry sign."""
    union, decided = virtual_host(tree)["routes"][1:3]

    assert union["response_headers_to_add"] == decided["response_headers_to_add"]
    assert union["response_headers_to_remove"] == decided["response_headers_to_remove"]
    marks = {item["header"]["key"]: item["append_action"] for item in decided["response_headers_to_add"]}
    expected = (names.VERDICT, names.MODEL_HEADER, names.WISH, names.INSTANCE, names.ATTEMPTS)
    assert dict.fromkeys(expected, "ADD_IF_ABSENT") == marks
    assert [names.RETRY] == decided["response_headers_to_remove"]


def test_without_a_decision_the_files_budgets_hold(text: str) -> None:
    """Attempts and timeouts are those that the service would grant."""
    budgets = "budgets: {max_attempts: 5, per_try_timeout_seconds: 20, request_timeout_seconds: 60}\n"
    host = virtual_host(envoy_tree(parse_settings(text + budgets, Path("f")), Path("e")))

    assert (4, "20s") == (host["retry_policy"]["num_retries"], host["retry_policy"]["per_try_timeout"])
    assert {"60s"} == {route["route"]["timeout"] for route in host["routes"][1:]}
    assert {names.UNION_CLUSTER} == {route["route"]["cluster"] for route in host["routes"][3:]}


def test_long_bodies_match_the_longest_pool_first(text: str) -> None:
    """Each pool takes the bodies that the pool before it may not hold."""
    text = text.replace("{name: long}", "{name: middle, threshold_tokens: 5000}, {name: long}").replace(
        "aliases:",
        """  - {name: b-middle, model: b, pool: middle, max_model_len: 9000, max_num_seqs: 8, price_usd_per_mtok: *p,
      instances: ["10.0.0.3:80"]}\naliases:""",
    )
    routes = virtual_host(envoy_tree(parse_settings(text, Path("f")), Path("e")))["routes"][4:]

    starts = [route["match"]["headers"][0]["range_match"]["start"] for route in routes[:-1]]
    pools = [
        route["route"]["metadata_match"]["filter_metadata"][names.LB_NAMESPACE]["pool"]
        for route in routes[:-1]
    ]
    assert ["15000", "3000"] == starts
    assert ["long", "middle"] == pools
    assert {"prefix": "/"} == routes[-1]["match"]


@pytest.mark.parametrize(
    ("path", "known"),
    [
        ("/v1/chat/completions", True),
        ("/v1/chat/completions/", True),
        ("/v1/messages?beta=true", True),
        ("/v1/models", False),
        ("/v1/chat/completions/x", False),
        ("/v1/completionsx", False),
    ],
)
def test_other_paths_are_told_apart(tree: dict[str, Any], path: str, known: bool) -> None:
    """As the service tells them apart: with a query and a trailing slash or without."""
    elsewhere = virtual_host(tree)["routes"][3]
    [matcher] = elsewhere["match"]["headers"]

    assert known == bool(re.fullmatch(matcher["string_match"]["safe_regex"]["regex"], path))
    assert matcher["invert_match"] is True
    assert elsewhere["typed_per_filter_config"]["ttca.events"]["disabled"] is True


@pytest.mark.parametrize(
    ("path", "is_open"),
    [
        ("/v1/chat/completions", True),
        ("/v1/messages/?beta=true", True),
        ("/v1/models", True),
        ("/v1/models/org/name", True),
        ("/v1/feedback", True),
        ("/tokenize", True),
        ("/v1/responses/resp_1", True),
        ("/pause", False),
        ("/metrics", False),
        ("/tokenize/../pause", False),
        ("/tokenizex", False),
        ("/%70ause", False),
        ("/v1/load_lora_adapter", False),
        ("/", False),
    ],
)
def test_what_operators_alone_should_reach_is_closed(tree: dict[str, Any], path: str, is_open: bool) -> None:
    """Only the APIs, what the gateway answers itself and the listed paths reach anybody; of the rest the service hears nothing."""
    closed = virtual_host(tree)["routes"][0]
    others = [matcher["string_match"] for matcher in closed["match"]["headers"]]

    assert {True} == {matcher["invert_match"] for matcher in closed["match"]["headers"]}
    assert is_open == any(
        path.startswith(known["prefix"])
        if "prefix" in known
        else re.fullmatch(known["safe_regex"]["regex"], path)
        for known in others
    )
    assert 404 == closed["direct_response"]["status"]
    assert closed["typed_per_filter_config"]["ttca.decide"]["disabled"] is True


def test_an_operator_may_pass_everything_through(text: str) -> None:
    """With `/` nothing is closed."""
    everything = text + 'gateway: {passthrough: ["/"]}\n'
    routes = virtual_host(envoy_tree(parse_settings(everything, Path("f")), Path("e")))["routes"]

    assert "closed" not in {route["name"] for route in routes}
