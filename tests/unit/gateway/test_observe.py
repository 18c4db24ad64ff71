from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from extproc.gateway.render import envoy_tree
from extproc.protocol import names
from extproc.settings.load import parse_settings


def test_requests_and_tries_are_logged_under_their_names(connection_manager: dict[str, Any]) -> None:
    """The service tells the two streams apart by name alone."""
    [request] = connection_manager["access_log"]
    [attempt] = connection_manager["http_filters"][-1]["typed_config"]["upstream_log"]
    logs = [request["typed_config"], attempt["typed_config"]]

    assert [names.REQUEST_LOG, names.ATTEMPT_LOG] == [log["common_config"]["log_name"] for log in logs]
    assert [[names.DECISION_ID, names.TRACEPARENT]] * 2 == [
        log["additional_request_headers_to_log"] for log in logs
    ]


@pytest.mark.parametrize(("endpoint", "cluster"), [("self", "extproc"), ("jaeger:4317", "otlp")])
def test_spans_go_where_the_file_says(text: str, endpoint: str, cluster: str) -> None:
    """`self` is the service's own receiver."""
    settings = parse_settings(
        text + f"telemetry: {{otlp_endpoint: {endpoint}, sample_ratio: 0.25}}\n", Path("f")
    )
    tree = envoy_tree(settings, Path("e"))

    manager = tree["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    tracer = manager["tracing"]["provider"]["typed_config"]
    ratio = tracer["sampler"]["typed_config"]["wrapped_sampler"]["typed_config"]["sampling_percentage"]
    assert {"cluster_name": cluster} == tracer["grpc_service"]["envoy_grpc"]
    assert {"numerator": 250_000, "denominator": "MILLION"} == ratio
