"""Fleets for virtual time: the router's topology and the engines that play it, from the same figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from extproc.fleet.topology import Cluster, Fleet, Instance, Pool, Price, Speed
from loadgen.engine.config import EngineConfig

AUTO = "auto"
"""Alias that stands for every model of a fleet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    """Speed and price of the instances that serve models of one size.

    Attributes:
        base_seconds: W of an iteration t = W + H·n.
        per_sequence_seconds: H.
        per_context_token_seconds: A of the engine; unknown to the router.
        prefill_tokens_per_second: Speed of chunked prefill.
        input_usd_per_mtok: Price of a million prompt tokens.
        output_usd_per_mtok: Price of a million output tokens.
    """

    base_seconds: float
    per_sequence_seconds: float
    prefill_tokens_per_second: float
    input_usd_per_mtok: float
    output_usd_per_mtok: float
    per_context_token_seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class VirtualFleet:
    """What the router sees and what plays it.

    Attributes:
        topology: The fleet as the router knows it.
        engines: Configuration of each instance's engine, by address.
    """

    topology: Fleet
    engines: Mapping[str, EngineConfig]


STUDY_TIERS: Sequence[Tier] = (
    Tier(
        base_seconds=0.005,
        per_sequence_seconds=0.0004,
        prefill_tokens_per_second=40_000,
        input_usd_per_mtok=0.04,
        output_usd_per_mtok=0.08,
    ),
    Tier(
        base_seconds=0.012,
        per_sequence_seconds=0.0009,
        prefill_tokens_per_second=20_000,
        input_usd_per_mtok=0.10,
        output_usd_per_mtok=0.20,
    ),
    Tier(
        base_seconds=0.013,
        per_sequence_seconds=0.0010,
        prefill_tokens_per_second=18_000,
        input_usd_per_mtok=0.12,
        output_usd_per_mtok=0.24,
    ),
    Tier(
        base_seconds=0.024,
        per_sequence_seconds=0.0018,
        prefill_tokens_per_second=9_000,
        input_usd_per_mtok=0.30,
        output_usd_per_mtok=0.60,
    ),
    Tier(
        base_seconds=0.040,
        per_sequence_seconds=0.0030,
        prefill_tokens_per_second=5_000,
        input_usd_per_mtok=0.60,
        output_usd_per_mtok=0.90,
    ),
)
"""Five tiers, 2B to 70B: assumed, in the proportions of A10G_FLEET_SIM (`loadgen/engine/presets.py`) at 8B."""


def build_fleet(
    models: Sequence[str],
    tiers: Sequence[Tier],
    *,
    instances: Sequence[int],
    max_num_seqs: int = 128,
    max_model_len: int = 8192,
) -> VirtualFleet:
    """One cluster per model, in one pool, under the alias `auto`.

    Args:
        models: Names, one per tier.
        tiers: Speed and price of each model's instances.
        instances: Number of each model's instances.
        max_num_seqs: Most running sequences of one instance.
        max_model_len: Most tokens of one sequence.

    Raises:
        ValueError: The three sequences differ in length.
    """
    engines: dict[str, EngineConfig] = {}
    clusters: list[Cluster] = []
    for number, (model, tier, count) in enumerate(zip(models, tiers, instances, strict=True)):
        addresses = [f"10.{number}.{index // 250}.{index % 250 + 1}:8000" for index in range(count)]
        clusters.append(
            Cluster(
                name=model,
                model=model,
                pool="all",
                max_model_len=max_model_len,
                max_num_seqs=max_num_seqs,
                price=Price(
                    input_usd_per_mtok=tier.input_usd_per_mtok, output_usd_per_mtok=tier.output_usd_per_mtok
                ),
                speed=Speed(
                    iteration_base_seconds=tier.base_seconds,
                    iteration_per_sequence_seconds=tier.per_sequence_seconds,
                    prefill_tokens_per_second=tier.prefill_tokens_per_second,
                ),
                instances=tuple(Instance(address=address) for address in addresses),
            )
        )
        for address in addresses:
            engines[address] = EngineConfig(
                iteration_base_seconds=tier.base_seconds,
                iteration_per_sequence_seconds=tier.per_sequence_seconds,
                iteration_per_context_token_seconds=tier.per_context_token_seconds,
                prefill_tokens_per_second=tier.prefill_tokens_per_second,
                max_num_seqs=max_num_seqs,
                max_model_len=max_model_len,
                max_num_batched_tokens=max(2048, max_num_seqs),
                kv_blocks=16_384,
            )
    topology = Fleet(
        clusters=tuple(clusters),
        pools=(Pool(name="all", threshold_tokens=None, spill_at=1.0),),
        aliases={AUTO: tuple(models)},
    )
    return VirtualFleet(topology=topology, engines=engines)
