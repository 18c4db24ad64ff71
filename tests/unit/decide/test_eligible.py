from __future__ import annotations

from collections.abc import Callable

import pytest

from extproc.decide.eligible import eligible
from extproc.errors import ModelNotFoundError, NoInstanceError
from extproc.facts.request import RequestFacts
from extproc.fleet.snapshot import FleetSnapshot
from extproc.fleet.topology import Cluster, Fleet

Make = Callable[..., FleetSnapshot]


@pytest.fixture
def two_models(
    make_cluster: Callable[..., Cluster], make_fleet: Callable[..., Fleet], make_snapshot: Make
) -> FleetSnapshot:
    """Rows 0 and 1 serve model a, rows 2 and 3 model b; all idle."""
    return make_snapshot(make_fleet(make_cluster("a"), make_cluster("b", model="b")))


def test_an_alias_admits_all_its_models_and_is_rewritten(
    two_models: FleetSnapshot, make_facts: Callable[..., RequestFacts]
) -> None:
    """`auto` stands for every model, and the body must name the chosen one."""
    candidates = eligible(make_facts(model="auto"), two_models)

    assert [0, 1, 2, 3] == candidates.rows.tolist()
    assert candidates.rewrites_model is True


def test_a_concrete_model_restricts_and_stays(
    two_models: FleetSnapshot, make_facts: Callable[..., RequestFacts]
) -> None:
    """A model's own name admits only its instances, and the body keeps it."""
    candidates = eligible(make_facts(model="b"), two_models)

    assert [2, 3] == candidates.rows.tolist()
    assert candidates.rewrites_model is False


def test_an_unknown_model_is_not_found(
    two_models: FleetSnapshot, make_facts: Callable[..., RequestFacts]
) -> None:
    """The error names what was asked for and what there is."""
    with pytest.raises(ModelNotFoundError, match=r"`gpt-9` does not exist\. Known here: a, auto, b"):
        eligible(make_facts(model="gpt-9"), two_models)


def test_no_model_admits_everybody(
    two_models: FleetSnapshot, make_facts: Callable[..., RequestFacts]
) -> None:
    """A request that is passed through may go anywhere."""
    assert [0, 1, 2, 3] == eligible(make_facts(model=None), two_models).rows.tolist()


def test_draining_instances_get_nothing(
    make_fleet: Callable[..., Fleet], make_snapshot: Make, make_facts: Callable[..., RequestFacts]
) -> None:
    """Unusable rows are left out; when nothing is left the request is refused for now."""
    fleet = make_fleet()
    some = make_snapshot(fleet, usable=[True, False, False, True])
    assert [0, 3] == eligible(make_facts(), some).rows.tolist()

    with pytest.raises(NoInstanceError, match="draining"):
        eligible(make_facts(), make_snapshot(fleet, usable=[False] * 4))


def test_a_subset_limits_the_choice(
    two_models: FleetSnapshot, make_facts: Callable[..., RequestFacts]
) -> None:
    """A subset names addresses or bare ips; one that matches nobody is an error."""
    address = two_models.table.addresses[1]
    assert [1] == eligible(make_facts(subset=frozenset({address})), two_models).rows.tolist()
    assert [0, 1, 2, 3] == eligible(make_facts(subset=frozenset({"10.0.0.1"})), two_models).rows.tolist()

    for subset in (frozenset({"192.168.1.99:1"}), frozenset[str]()):
        with pytest.raises(NoInstanceError) as caught:
            eligible(make_facts(subset=subset), two_models)
        assert caught.value.reason == "rejected-no-endpoints"
