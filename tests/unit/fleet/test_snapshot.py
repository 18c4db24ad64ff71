from __future__ import annotations

from collections.abc import Callable

import numpy as np

from extproc.fleet.snapshot import FleetTable
from extproc.fleet.topology import Cluster, Fleet


def test_lays_instances_out_in_file_order(make_fleet: Callable[..., Fleet]) -> None:
    """Row i of every array belongs to address i, cluster by cluster."""
    fleet = make_fleet()
    table = FleetTable.of(fleet)

    assert [i.address for c in fleet.clusters for i in c.instances] == list(table.addresses)
    assert [8192, 8192, 65536, 65536] == table.max_model_len.tolist()
    assert [0, 0, 1, 1] == table.pool_index.tolist()
    assert {address: row for row, address in enumerate(table.addresses)} == table.row_by_address


def test_knows_the_rows_of_each_model(
    make_cluster: Callable[..., Cluster], make_fleet: Callable[..., Fleet]
) -> None:
    """A model served by two clusters owns the rows of both."""
    fleet = make_fleet(make_cluster("a-1"), make_cluster("b-1", model="b"), make_cluster("a-2", pool="long"))
    table = FleetTable.of(fleet)

    assert [0, 1, 4, 5] == table.rows_by_model["a"].tolist()
    assert [2, 3] == table.rows_by_model["b"].tolist()


def test_counts_the_rows_of_each_model(
    make_cluster: Callable[..., Cluster], make_fleet: Callable[..., Fleet]
) -> None:
    """In the order of the fleet file, models without one of the rows included."""
    table = FleetTable.of(make_fleet(make_cluster("b-1", model="b"), make_cluster("a-1")))

    assert [0, 2] == table.rows_per_model(table.rows_by_model["a"]).tolist()
    assert [1, 1] == table.rows_per_model(np.array([0, 3])).tolist()


def test_knows_what_every_name_stands_for(
    make_cluster: Callable[..., Cluster], make_fleet: Callable[..., Fleet]
) -> None:
    """An alias stands for its models' rows, those without an instance left out; a model's own name wins over an alias."""
    fleet = make_fleet(
        make_cluster("b-1", model="b"),
        make_cluster("a-1"),
        make_cluster("none", model="c", instances=()),
        aliases={"auto": ("a", "b", "c"), "a": ("b",)},
    )
    offers = FleetTable.of(fleet).offers

    assert ([0, 1, 2, 3], ("b", "a"), True) == (
        offers["auto"].rows.tolist(),
        offers["auto"].models,
        offers["auto"].is_alias,
    )
    assert ([2, 3], ("a",), False) == (offers["a"].rows.tolist(), offers["a"].models, offers["a"].is_alias)
    assert [] == offers["c"].rows.tolist()
