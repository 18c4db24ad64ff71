from __future__ import annotations

import pytest

from extproc.gateway.primitives import EXTPROC_CLUSTER, OTLP_CLUSTER, address, share
from extproc.protocol import names
from extproc.settings.schema import RESERVED_CLUSTER_NAMES


def test_addresses_become_sockets_or_pipes() -> None:
    """IPv6 loses its brackets, a Unix socket its scheme."""
    six, pipe = address("[::1]:80"), address("unix:/run/a.sock")

    assert six.socket_address is not None
    assert ("::1", 80) == (six.socket_address.address, six.socket_address.port_value)
    assert pipe.pipe is not None
    assert "/run/a.sock" == pipe.pipe.path


@pytest.mark.parametrize(("ratio", "parts"), [(0.0, 0), (0.015, 15_000), (1.0, 1_000_000)])
def test_a_share_is_in_parts_of_a_million(ratio: float, parts: int) -> None:
    """Small ratios are not rounded away."""
    assert parts == share(ratio).numerator


def test_no_deployment_may_be_named_like_our_own_clusters() -> None:
    """The fleet file's rule knows every name that is rendered."""
    ours = {names.UNION_CLUSTER, names.NAMED_CLUSTER, names.STAND_IN_CLUSTER}
    assert {EXTPROC_CLUSTER, OTLP_CLUSTER} | ours == set(RESERVED_CLUSTER_NAMES)
