from __future__ import annotations

from extproc.gateway.balancing import MODEL_KEY, POOL_KEY, by_model_and_pool, least_request, override_host
from extproc.gateway.endpoints import render_endpoints
from extproc.protocol import names
from extproc.settings import Settings


def test_the_list_comes_from_the_destination_header_and_the_served_host_is_told() -> None:
    """Both names are the endpoint-picker protocol's."""
    policy = override_host(least_request()).to_dict()["policies"][0]["typedExtensionConfig"]["typedConfig"]

    assert [{"header": names.DESTINATION}] == policy["overrideHostSources"]
    assert {"key": names.LB_NAMESPACE, "path": [{"key": names.DESTINATION_SERVED}]} == policy[
        "selectedHostKey"
    ]


def test_a_model_that_the_pool_does_not_have_is_looked_for_outside_it() -> None:
    """The pool is the first of the two to be given up."""
    policy = by_model_and_pool(least_request()).to_dict()["policies"][0]["typedExtensionConfig"][
        "typedConfig"
    ]

    both = policy["subsetSelectors"][0]
    assert ([MODEL_KEY, POOL_KEY], "KEYS_SUBSET", [MODEL_KEY]) == (
        both["keys"], both["fallbackPolicy"], both["fallbackKeysSubset"],
    )  # fmt: skip


def test_the_keys_are_those_of_the_endpoints(settings: Settings) -> None:
    """A selector on a key that no endpoint has would select nobody, in silence."""
    assert all(
        f'"{key}"'.encode() in content
        for content in render_endpoints(settings.fleet()).values()
        for key in (MODEL_KEY, POOL_KEY)
    )
