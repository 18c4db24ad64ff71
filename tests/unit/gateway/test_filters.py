from __future__ import annotations

import re
from typing import Any

import pytest

from extproc.facts.parse import parse_request
from extproc.facts.request import Api
from extproc.gateway.filters import API_PATHS
from extproc.protocol import names
from extproc.settings.verification import JUDGE_MARGIN_SECONDS, LONGEST_JUDGEMENT_SECONDS, JudgeSettings


def by_name(connection_manager: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The filters' settings by the filters' names."""
    return {item["name"]: item["typed_config"] for item in connection_manager["http_filters"]}


def test_the_service_decides_before_anything_reads_the_body(connection_manager: dict[str, Any]) -> None:
    """The order of the filters is the order in which they see a request."""
    order = ["ttca.decide", "ttca.json", "ttca.events", "envoy.filters.http.router"]

    assert order == list(by_name(connection_manager))


def test_the_services_filters_fail_open_and_say_who_they_are(
    connection_manager: dict[str, Any], clusters: dict[str, Any]
) -> None:
    """Without failure_mode_allow a dead service is a dead gateway."""
    options = clusters["fleet"]["typed_extension_protocol_options"][
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    ]
    roles = {
        names.ROLE_DECIDE: by_name(connection_manager)["ttca.decide"],
        names.ROLE_ATTEMPT: options["http_filters"][0]["typed_config"],
    }
    for role, config in roles.items():
        assert config["failure_mode_allow"] is True
        assert {"allow_envoy": True} == config["mutation_rules"]
        assert [{"key": names.ROLE, "value": role}] == config["grpc_service"]["initial_metadata"]


def test_every_namespace_that_the_service_writes_is_received(connection_manager: dict[str, Any]) -> None:
    """Envoy drops the others without a word."""
    options = by_name(connection_manager)["ttca.decide"]["metadata_options"]

    assert {names.LB_NAMESPACE, names.DECISION_NAMESPACE} == set(options["receiving_namespaces"]["untyped"])
    assert [names.SUBSET_NAMESPACE] == options["forwarding_namespaces"]["untyped"]


def test_nothing_is_written_when_usage_is_missing(connection_manager: dict[str, Any]) -> None:
    """Unknown usage is never read as zero."""
    filters = by_name(connection_manager)
    parser = filters["ttca.events"]["response_rules"]["content_parser"]["typed_config"]
    rules = [*filters["ttca.json"]["response_rules"]["rules"], *(item["rule"] for item in parser["rules"])]

    assert all({"selectors", "on_present"} == set(rule) for rule in rules)
    assert {names.USAGE_NAMESPACE} == {rule["on_present"]["metadata_namespace"] for rule in rules}


@pytest.mark.parametrize(
    ("content_type", "is_json"),
    [
        ("application/json", True),
        ("application/json; charset=utf-8", True),
        ("application/json;charset=utf-8", True),
        ("application/problem+json", True),
        ("text/event-stream", False),
        ("application/jsonlines", False),
    ],
)
def test_answers_are_read_when_they_are_json(
    connection_manager: dict[str, Any], content_type: str, is_json: bool
) -> None:
    """The header may carry parameters."""
    pattern = by_name(connection_manager)["ttca.json"]["response_rules"]["allow_content_types_regex"]["regex"]

    assert is_json == bool(re.fullmatch(pattern, content_type))


@pytest.mark.parametrize("path", API_PATHS)
def test_the_known_paths_are_the_services(path: str) -> None:
    """A path whose streams Envoy reads is one whose API the service understands."""
    body = b'{"model":"m","prompt":"x","input":"x","max_tokens":1,"messages":[{"role":"user","content":"x"}]}'
    facts = parse_request(
        method="POST",
        path=path,
        content_type="application/json",
        body=body,
        request_id="",
        subset=None,
        max_body_bytes=1000,
    )

    assert facts.api is not Api.OTHER
    assert len(API_PATHS) == len([api for api in Api if api is not Api.OTHER])


def test_envoy_waits_for_the_longest_judgement_that_a_fleet_file_allows(clusters: dict[str, Any]) -> None:
    """What the service asks for beyond the filter's bound would be ignored, and the answer pass unverified."""
    options = clusters["fleet"]["typed_extension_protocol_options"][
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    ]
    bound = options["http_filters"][0]["typed_config"]["max_message_timeout"]
    longest = JudgeSettings(url="http://judge", timeout_seconds=LONGEST_JUDGEMENT_SECONDS)

    assert longest.timeout_seconds + JUDGE_MARGIN_SECONDS <= float(bound.removesuffix("s"))
