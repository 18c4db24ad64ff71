from __future__ import annotations

import pytest

from extproc.fleet.topology import Cluster, Fleet, Instance, Pool, Price, Speed
from loadgen.simulated_fleet import instance_specs


def a_cluster(model: str, *addresses: str, max_model_len: int = 8192, max_num_seqs: int = 64) -> Cluster:
    """A cluster with given instances."""
    return Cluster(
        name=f"{model}-cluster",
        model=model,
        pool="short",
        max_model_len=max_model_len,
        max_num_seqs=max_num_seqs,
        price=Price(input_usd_per_mtok=1.0, output_usd_per_mtok=1.0),
        speed=Speed(
            iteration_base_seconds=0.01,
            iteration_per_sequence_seconds=0.001,
            prefill_tokens_per_second=9000.0,
        ),
        instances=tuple(Instance(address=address) for address in addresses),
    )


def a_fleet(*clusters: Cluster) -> Fleet:
    """A fleet with an alias for everything and one for the first model."""
    models = tuple(cluster.model for cluster in clusters)
    return Fleet(
        clusters=clusters,
        pools=(Pool(name="short", threshold_tokens=None, spill_at=0.85),),
        aliases={"auto": models, "first": models[:1]},
    )


def test_each_instance_is_played_as_its_cluster_says() -> None:
    """Address, model, limits and speed come from the fleet; aliases are those that stand for the model."""
    fleet = a_fleet(
        a_cluster("a", "127.0.0.1:1", "127.0.0.1:2"), a_cluster("b", "127.0.0.1:3", max_num_seqs=7)
    )
    first, second, third = instance_specs(fleet, time_scale=1.0, seed=1)

    assert ("127.0.0.1:1", "a", ("auto", "first")) == (first.address, first.model, first.aliases)
    assert ("127.0.0.1:3", "b", ("auto",)) == (third.address, third.model, third.aliases)
    assert (8192, 7) == (third.max_model_len, third.max_num_seqs)
    assert (0.01, 0.001, 9000.0) == (
        first.iteration_base_seconds,
        first.iteration_per_sequence_seconds,
        first.prefill_tokens_per_second,
    )
    assert first.seed != second.seed


def test_the_time_scale_is_the_servers() -> None:
    """Simulated seconds per real second, there as here."""
    (spec,) = instance_specs(a_fleet(a_cluster("a", "127.0.0.1:1")), time_scale=2.0, seed=1)

    assert 2.0 == spec.time_scale


def test_large_contexts_and_batches_get_the_room_that_they_need() -> None:
    """The cache holds at least one full sequence, and an iteration one token of each."""
    cluster = a_cluster("a", "127.0.0.1:1", max_model_len=1_000_001, max_num_seqs=5000)
    (spec,) = instance_specs(a_fleet(cluster), time_scale=1.0, seed=1)

    assert 62_501 == spec.kv_blocks
    assert 5000 == spec.max_num_batched_tokens


def test_impossible_fleets_are_refused() -> None:
    """A time scale of zero and a fleet without instances are errors."""
    with pytest.raises(ValueError, match="time scale"):
        instance_specs(a_fleet(a_cluster("a", "127.0.0.1:1")), time_scale=0.0, seed=1)
    with pytest.raises(ValueError, match="no instances"):
        instance_specs(a_fleet(a_cluster("a")), time_scale=1.0, seed=1)
