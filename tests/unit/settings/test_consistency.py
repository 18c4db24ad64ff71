from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.settings.consistency import find_inconsistencies

KEYS = ["pools", "clusters", "aliases", "gateway", "service", "budgets", "scrape", "name", "pool", "model",
        "instances", "address", "listen", "admin", "threshold_tokens", "timeout_seconds", "interval_seconds"]  # fmt: skip
ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["1.2.3.4:5", "auto"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from(KEYS), ANYTHING))
def test_no_tree_breaks_the_rules(tree: dict[str, object]) -> None:
    """What has the wrong type is skipped, since the per-field errors tell of it."""
    for complaint in find_inconsistencies(tree):
        assert complaint.message


@pytest.mark.parametrize("listen", ["0.0.0.0:9901", "127.0.0.1:9901", "127.0.0.1:9090"])
def test_listeners_do_not_share_a_port(listen: str) -> None:
    """A wildcard takes the port of every address."""
    found = find_inconsistencies({"gateway": {"listen": listen}})

    assert 1 == len(found)


def test_one_port_on_two_addresses_is_fine() -> None:
    """Only the pair of address and port has to be free."""
    assert [] == find_inconsistencies(
        {"gateway": {"listen": "127.0.0.2:9901"}, "service": {"listen": "unix:/s"}}
    )
