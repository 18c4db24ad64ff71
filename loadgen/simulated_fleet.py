"""From a fleet to the simulated servers that play it."""

from __future__ import annotations

from extproc.fleet.topology import Cluster, Fleet
from loadgen.vllm.spec import InstanceSpec

KV_BLOCKS = 16_384
"""KV-cache blocks of one instance, unless its context needs more: 262k tokens, an 8B model's share of 80 GB."""

BLOCK_TOKENS = 16

BATCHED_TOKENS = 2048
"""Most tokens of one iteration, unless the instance runs more sequences than that."""


def instance_specs(fleet: Fleet, *, time_scale: float, seed: int) -> list[InstanceSpec]:
    """Describe a simulated server for each instance of a fleet, draining ones included.

    Args:
        fleet: As the fleet file declares it.
        time_scale: Simulated seconds per real second; 2 runs twice as fast as the hardware would.
        seed: Each instance gets a seed of its own from it.

    Raises:
        ValueError: `time_scale` is not positive, or the fleet has no instances.
    """
    if not time_scale > 0:
        raise ValueError(f"the time scale must be positive, not {time_scale}")
    placed = [(cluster, instance) for cluster in fleet.clusters for instance in cluster.instances]
    if not placed:
        raise ValueError("the fleet has no instances to simulate")
    return [
        InstanceSpec(
            address=instance.address,
            model=cluster.model,
            aliases=_aliases(fleet, cluster),
            max_model_len=cluster.max_model_len,
            max_num_seqs=cluster.max_num_seqs,
            max_num_batched_tokens=max(BATCHED_TOKENS, cluster.max_num_seqs),
            iteration_base_seconds=cluster.speed.iteration_base_seconds,
            iteration_per_sequence_seconds=cluster.speed.iteration_per_sequence_seconds,
            prefill_tokens_per_second=cluster.speed.prefill_tokens_per_second,
            kv_blocks=max(KV_BLOCKS, -(-cluster.max_model_len // BLOCK_TOKENS)),
            time_scale=time_scale,
            seed=seed * 1000 + number,
        )
        for number, (cluster, instance) in enumerate(placed)
    ]


def _aliases(fleet: Fleet, cluster: Cluster) -> tuple[str, ...]:
    """The aliases that stand for the cluster's model: they arrive unchanged when the router is down."""
    return tuple(alias for alias, models in fleet.aliases.items() if cluster.model in models)
