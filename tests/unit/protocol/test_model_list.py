from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from extproc.errors import ModelNotFoundError
from extproc.fleet.topology import Cluster, Fleet
from extproc.protocol.events import RequestReady
from extproc.protocol.model_list import is_model_list, model_list


@pytest.fixture
def fleet(make_fleet: Callable[..., Fleet], make_cluster: Callable[..., Cluster]) -> Fleet:
    """Model a on a short and a long cluster, model org/b on a short one, and an alias of each kind."""
    return make_fleet(
        make_cluster("a-short"),
        make_cluster("a-long", pool="long", max_model_len=65536),
        make_cluster("b-short", model="org/b"),
        aliases={"auto": ("a", "org/b"), "small": ("org/b",), "nobody": ("gone",)},
    )


def asked(path: str, method: str = "GET") -> RequestReady:
    """A request for a path."""
    return RequestReady(method=method, path=path, content_type="", request_id="", body=b"", subset=None)


def listed(fleet: Fleet, path: str) -> dict[str, Any]:
    """What the service answers."""
    assert is_model_list(asked(path))
    return model_list(asked(path), fleet, created_unix_seconds=1_790_000_000)


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/", "/v1/models?limit=5"])
def test_everything_that_can_be_asked_for_is_listed(fleet: Fleet, path: str) -> None:
    """Models in the order of the fleet file, then the aliases that somebody serves, each with its longest context."""
    document = listed(fleet, path)

    assert "list" == document["object"]
    assert [("a", 65536), ("org/b", 8192), ("auto", 65536), ("small", 8192)] == [
        (entry["id"], entry["max_model_len"]) for entry in document["data"]
    ]
    assert {("model", 1_790_000_000, "ttca-router")} == {
        (entry["object"], entry["created"], entry["owned_by"]) for entry in document["data"]
    }


@pytest.mark.parametrize("path", ["/v1/models/org/b", "/v1/models/org%2Fb"])
def test_one_model_can_be_asked_about(fleet: Fleet, path: str) -> None:
    """Its name may hold slashes, as they are or encoded."""
    assert ("org/b", 8192) == (listed(fleet, path)["id"], listed(fleet, path)["max_model_len"])


@pytest.mark.parametrize("path", ["/v1/models/absent", "/v1/models/nobody"])
def test_an_unknown_model_is_not_found(fleet: Fleet, path: str) -> None:
    """The error lists what there is."""
    with pytest.raises(ModelNotFoundError, match="Known here: a, auto, org/b, small"):
        listed(fleet, path)


@pytest.mark.parametrize(
    ("path", "method"), [("/v1/models", "POST"), ("/v1/modelsx", "GET"), ("/v1", "GET"), ("/v2/models", "GET")]
)  # fmt: skip
def test_other_requests_are_the_instances(path: str, method: str) -> None:
    """Another method or path passes through."""
    assert not is_model_list(asked(path, method))
