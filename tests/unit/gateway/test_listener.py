from __future__ import annotations

from typing import Any

from extproc.protocol import names


def mutations(connection_manager: dict[str, Any]) -> list[dict[str, Any]]:
    """What is done to a client's headers before anything reads them."""
    [extension] = connection_manager["early_header_mutation_extensions"]
    found: list[dict[str, Any]] = extension["typed_config"]["mutations"]
    return found


def is_stripped(connection_manager: dict[str, Any], name: str) -> bool:
    """Whether a client's header of this name is taken away."""
    for item in mutations(connection_manager):
        prefix = item.get("remove_on_match", {}).get("key_matcher", {}).get("prefix")
        if name == item.get("remove") or (prefix is not None and name.startswith(prefix)):
            return True
    return False


def test_every_control_header_is_stripped(connection_manager: dict[str, Any]) -> None:
    """Whatever steers comes from the service alone."""
    ours = [
        *names.CONTROL_HEADERS,
        names.MAX_RETRIES,
        names.TIMEOUT,
        names.PER_TRY_TIMEOUT,
        names.HEDGE,
        names.ATTEMPT_COUNT,
        names.SUBSET,
    ]

    assert [] == [name for name in ours if not is_stripped(connection_manager, name)]


def test_every_name_of_ours_is_stripped_or_for_clients(connection_manager: dict[str, Any]) -> None:
    """A new header is covered the day it is named."""
    ours = {value for value in vars(names).values() if isinstance(value, str) and value.startswith("x-ttca-")}

    assert set(names.CLIENT_HEADERS) == {name for name in ours if not is_stripped(connection_manager, name)}


def test_what_clients_may_ask_for_is_left(connection_manager: dict[str, Any]) -> None:
    """Expectation, session and deadline reach the service."""
    assert [] == [name for name in names.CLIENT_HEADERS if is_stripped(connection_manager, name)]


def test_the_trace_context_is_left_alone(connection_manager: dict[str, Any]) -> None:
    """A client's trace goes on through the gateway."""
    assert names.TRACEPARENT not in str(mutations(connection_manager))


def test_the_clients_request_id_is_moved_before_it_is_removed(connection_manager: dict[str, Any]) -> None:
    """The order matters: what is removed first cannot be kept."""
    first, second = mutations(connection_manager)[:2]

    assert f"%REQ({names.REQUEST_ID})%" == first["append"]["header"]["value"]
    assert {"remove": names.REQUEST_ID} == second


def test_one_limit_stands_on_a_bodys_whole_way(
    tree: dict[str, Any], connection_manager: dict[str, Any]
) -> None:
    """A smaller one anywhere would answer 413, or stall."""
    limit = 16 * 1024 * 1024
    [host] = connection_manager["route_config"]["virtual_hosts"]
    service = tree["static_resources"]["clusters"][-1]
    options = service["typed_extension_protocol_options"][
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    ]
    http2 = options["explicit_http_config"]["http2_protocol_options"]

    assert limit == tree["static_resources"]["listeners"][0]["per_connection_buffer_limit_bytes"]
    assert limit == host["request_body_buffer_limit"]
    assert limit == service["per_connection_buffer_limit_bytes"]
    assert limit == http2["initial_stream_window_size"]
