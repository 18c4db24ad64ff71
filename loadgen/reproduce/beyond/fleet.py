"""The fleet: five models from 2B to 70B, each in a pool for short and in one for long contexts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from extproc.fleet.topology import Cluster, Fleet, Instance, Pool, Price, Speed
from loadgen.engine.config import EngineConfig
from loadgen.virtual.fleet import AUTO, STUDY_TIERS, Tier, VirtualFleet

GPUS: Sequence[int] = (1, 1, 1, 2, 4)
"""GPUs of an instance of each tier: a 27B model has room on two, a 70B model on four cards of 80 GB."""

KV_TOKENS = 262_144
"""KV cache of one instance, whichever pool it is in: the memory is the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolShape:
    """How the instances of a pool are configured.

    Attributes:
        name: Name of the pool.
        max_model_len: Most tokens of one sequence.
        max_num_seqs: Most running sequences of one instance.
        instances: Instances of each model.
        threshold_tokens: Token budgets up to this prefer the pool; None for the last.
        spill_at: Pressure from which on requests go to the other pool.
    """

    name: str
    max_model_len: int
    max_num_seqs: int
    instances: int
    threshold_tokens: int | None
    spill_at: float


POOLS: Sequence[PoolShape] = (
    PoolShape(
        name="short",
        max_model_len=8_192,
        max_num_seqs=128,
        instances=2,
        threshold_tokens=8_192,
        spill_at=0.85,
    ),
    PoolShape(
        name="long", max_model_len=65_536, max_num_seqs=16, instances=2, threshold_tokens=None, spill_at=1.0
    ),
)
"""As in dual-pool token-budget routing: 8K with 128 sequences, 64K with 16, and the threshold at 8,192 tokens."""


def build_pools(
    models: Sequence[str], tiers: Sequence[Tier] = STUDY_TIERS, pools: Sequence[PoolShape] = POOLS
) -> VirtualFleet:
    """One cluster per model and pool, under the alias `auto`.

    Args:
        models: Names, one per tier, smallest first.
        tiers: Speed and price of each model's instances.
        pools: Ascending by context.

    Raises:
        ValueError: There are not as many models as tiers.
    """
    engines: dict[str, EngineConfig] = {}
    clusters: list[Cluster] = []
    for pool_number, pool in enumerate(pools):
        for number, (model, tier) in enumerate(zip(models, tiers, strict=True)):
            addresses = [f"10.{pool_number}.{number}.{index + 1}:8000" for index in range(pool.instances)]
            clusters.append(_cluster(model, tier, pool, addresses))
            engines.update((address, _engine(tier, pool)) for address in addresses)
    topology = Fleet(
        clusters=tuple(clusters),
        pools=tuple(
            Pool(name=pool.name, threshold_tokens=pool.threshold_tokens, spill_at=pool.spill_at)
            for pool in pools
        ),
        aliases={AUTO: tuple(models)},
    )
    return VirtualFleet(topology=topology, engines=engines)


def gpus_by_address(fleet: VirtualFleet, models: Sequence[str]) -> Mapping[str, int]:
    """GPUs of each instance."""
    gpus = dict(zip(models, GPUS, strict=True))
    return {
        instance.address: gpus[cluster.model]
        for cluster in fleet.topology.clusters
        for instance in cluster.instances
    }


def _cluster(model: str, tier: Tier, pool: PoolShape, addresses: Sequence[str]) -> Cluster:
    return Cluster(
        name=f"{model}-{pool.name}",
        model=model,
        pool=pool.name,
        max_model_len=pool.max_model_len,
        max_num_seqs=pool.max_num_seqs,
        price=Price(input_usd_per_mtok=tier.input_usd_per_mtok, output_usd_per_mtok=tier.output_usd_per_mtok),
        speed=Speed(
            iteration_base_seconds=tier.base_seconds,
            iteration_per_sequence_seconds=tier.per_sequence_seconds,
            prefill_tokens_per_second=tier.prefill_tokens_per_second,
        ),
        instances=tuple(Instance(address=address) for address in addresses),
    )


def _engine(tier: Tier, pool: PoolShape) -> EngineConfig:
    return EngineConfig(
        iteration_base_seconds=tier.base_seconds,
        iteration_per_sequence_seconds=tier.per_sequence_seconds,
        iteration_per_context_token_seconds=tier.per_context_token_seconds,
        prefill_tokens_per_second=tier.prefill_tokens_per_second,
        max_num_seqs=pool.max_num_seqs,
        max_model_len=pool.max_model_len,
        max_num_batched_tokens=2_048,
        kv_blocks=KV_TOKENS // 16,
    )
