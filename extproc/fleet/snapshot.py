"""The fleet as arrays: one row per instance, so that a decision is a few vector operations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from extproc.fleet.topology import Cluster, Fleet

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What a name that clients may ask for stands for.

    Attributes:
        rows: Rows that serve it, ascending.
        models: Its models, in the order of the fleet file.
        is_alias: True when the name is not a model's own.
    """

    rows: Ints
    models: tuple[str, ...]
    is_alias: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetTable:
    """What does not change between two fleet files; row i of every array is the same instance.

    Whatever a decision can look up instead of working it out stands here.

    Attributes:
        fleet: The fleet that the table was made from.
        addresses: `ip:port` by row.
        clusters: The instance's cluster by row.
        row_by_address: Row of each address.
        rows: All rows; whoever means all of them hands on this very array, so that nothing need be gathered.
        rows_by_model: Rows that serve each model.
        rows_of_models: The same in the order of `models`.
        offers: What every model's name and every alias stands for; a model's own name comes before an alias.
        model_index: Index of the row's model in `models`.
        models: Models in the order of the fleet file.
        pool_index: Index of the row's pool in `fleet.pools`.
        max_model_len: Most tokens of one sequence.
        max_num_seqs: Most running sequences.
        share_per_sequence: Share of the slots that one sequence takes, 1 / `max_num_seqs`.
        iteration_base_seconds: W of the iteration-time model.
        iteration_per_sequence_seconds: H of the iteration-time model.
        prefill_tokens_per_second: Prefill rate.
        prefill_seconds_per_token: Its inverse.
        in_service: False for instances that are draining: they get nothing new.
    """

    fleet: Fleet
    addresses: tuple[str, ...]
    clusters: tuple[Cluster, ...]
    row_by_address: Mapping[str, int]
    rows: Ints
    rows_by_model: Mapping[str, Ints]
    rows_of_models: tuple[Ints, ...]
    offers: Mapping[str, Offer]
    models: tuple[str, ...]
    model_index: Ints
    pool_index: Ints
    max_model_len: Ints
    max_num_seqs: Floats
    share_per_sequence: Floats
    iteration_base_seconds: Floats
    iteration_per_sequence_seconds: Floats
    prefill_tokens_per_second: Floats
    prefill_seconds_per_token: Floats
    in_service: Bools

    @classmethod
    def of(cls, fleet: Fleet) -> FleetTable:
        """Lay a fleet out as arrays."""
        rows = [(cluster, instance) for cluster in fleet.clusters for instance in cluster.instances]
        clusters = tuple(cluster for cluster, _ in rows)
        addresses = tuple(instance.address for _, instance in rows)
        models = tuple(dict.fromkeys(cluster.model for cluster in fleet.clusters))
        pools = {pool.name: index for index, pool in enumerate(fleet.pools)}
        model_index = np.array([models.index(cluster.model) for cluster in clusters], dtype=np.int64)
        rows_by_model = {model: np.flatnonzero(model_index == index) for index, model in enumerate(models)}
        all_rows = np.arange(len(addresses), dtype=np.int64)
        max_num_seqs = np.array([cluster.max_num_seqs for cluster in clusters], dtype=np.float64)
        prefill_rate = np.array([c.speed.prefill_tokens_per_second for c in clusters])
        return cls(
            fleet=fleet,
            addresses=addresses,
            clusters=clusters,
            row_by_address={address: row for row, address in enumerate(addresses)},
            rows=all_rows,
            rows_by_model=rows_by_model,
            rows_of_models=tuple(rows_by_model.values()),
            offers=_offers(fleet, rows_by_model, all_rows),
            models=models,
            model_index=model_index,
            pool_index=np.array([pools[cluster.pool] for cluster in clusters], dtype=np.int64),
            max_model_len=np.array([cluster.max_model_len for cluster in clusters], dtype=np.int64),
            max_num_seqs=max_num_seqs,
            share_per_sequence=1.0 / max_num_seqs,
            iteration_base_seconds=np.array([c.speed.iteration_base_seconds for c in clusters]),
            iteration_per_sequence_seconds=np.array(
                [c.speed.iteration_per_sequence_seconds for c in clusters]
            ),
            prefill_tokens_per_second=prefill_rate,
            prefill_seconds_per_token=1.0 / prefill_rate,
            in_service=np.array([not instance.draining for _, instance in rows], dtype=np.bool_),
        )

    def __len__(self) -> int:
        return len(self.addresses)

    def rows_per_model(self, rows: Ints) -> Ints:
        """How many of `rows` serve each model, in the order of `models`."""
        counts: Ints = np.bincount(self.model_index.take(rows), minlength=len(self.models))
        return counts


def _offers(fleet: Fleet, rows_by_model: Mapping[str, Ints], all_rows: Ints) -> dict[str, Offer]:
    offers: dict[str, Offer] = {}
    for alias, meant in fleet.aliases.items():
        models = tuple(model for model, rows in rows_by_model.items() if model in meant and len(rows))
        rows = np.sort(np.concatenate([np.empty(0, dtype=np.int64), *(rows_by_model[m] for m in models)]))
        if len(rows) == len(all_rows):
            rows = all_rows
        offers[alias] = Offer(rows=rows, models=models, is_alias=True)
    for model, rows in rows_by_model.items():
        offers[model] = Offer(rows=rows, models=(model,), is_alias=False)
    return offers


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetSnapshot:
    """The fleet's load at one moment; row i of every array is row i of `table`.

    Attributes:
        table: The unchanging part.
        sequences: Sequences in the instance, running or waiting: our own in flight, corrected by scrapes.
        sequence_seconds: Integral of `sequences` over the time since the book was opened.
        usual_sequences: `sequences` averaged over the last half minute or so: how busy the instance usually is.
        mean_output_tokens: Mean output budget of our sequences in flight; 0 where there are none.
        prefill_backlog_tokens: Prompt tokens sent and probably not yet prefilled.
        kv_free_tokens: Tokens that still fit into the KV cache; infinite where unknown.
        preemption_share: Preemptions per running sequence between the two last scrapes, 0 to 1.
        usable: False for instances that are draining.
        suspect: True for instances that failed lately or cannot be reached: the last resort.
        last_assigned: Number of the last assignment to the instance; 0 for never.
    """

    table: FleetTable
    sequences: Floats
    sequence_seconds: Floats
    usual_sequences: Floats
    mean_output_tokens: Floats
    prefill_backlog_tokens: Floats
    kv_free_tokens: Floats
    preemption_share: Floats
    usable: Bools
    suspect: Bools
    last_assigned: Ints
