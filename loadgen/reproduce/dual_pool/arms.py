"""What is compared: ways to configure the same instances."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from loadgen.planning.hardware import PoolShape
from loadgen.planning.pool_run import Balance
from loadgen.reproduce.dual_pool.machines import HOMOGENEOUS, HONEST, LONG, SHORT

THRESHOLD = 8_192
"""The published default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """A way to configure a fleet.

    Attributes:
        title: Name for tables.
        shapes: Pools, ascending by context.
        thresholds: Budgets up to which each pool but the last is preferred.
        balance: How an instance of a pool is chosen.
    """

    title: str
    shapes: tuple[PoolShape, ...]
    thresholds: tuple[int, ...] = ()
    balance: Balance = Balance.SHORTEST_QUEUE


def short_shape(threshold: int) -> PoolShape:
    """The short pool for a threshold: the KV memory of 128 sequences of 8K, divided into that context."""
    seqs = max(1, SHORT.max_num_seqs * SHORT.max_model_len // threshold)
    return replace(
        SHORT,
        max_model_len=threshold,
        max_num_seqs=seqs,
        max_num_batched_tokens=max(seqs, SHORT.max_num_batched_tokens),
    )


def dual(threshold: int) -> Arm:
    """Two pools, split at a threshold."""
    return Arm(
        title=f"dual pools, {threshold // 1024}K",
        shapes=(short_shape(threshold), LONG),
        thresholds=(threshold,),
    )


ARMS: Mapping[str, Arm] = MappingProxyType(
    {
        "published_baseline": Arm(
            title="homogeneous, 16 sequences, round-robin",
            shapes=(HOMOGENEOUS,),
            balance=Balance.ROUND_ROBIN,
        ),
        "homogeneous": Arm(title="homogeneous, 16 sequences", shapes=(HOMOGENEOUS,)),
        "honest": Arm(title="homogeneous, 128 sequences", shapes=(HONEST,)),
        "honest_2k": Arm(
            title="homogeneous, 128 sequences, 2K batch",
            shapes=(replace(HONEST, max_num_batched_tokens=2_048),),
        ),
        "dual": dual(THRESHOLD),
        "triple": Arm(
            title="three pools, 2K and 8K",
            shapes=(replace(short_shape(2_048), name="shortest"), SHORT, LONG),
            thresholds=(2_048, THRESHOLD),
        ),
    }
)
"""All but the first choose the instance with the fewest sequences. The 2K batch is vLLM's default."""


def arm_of(key: str) -> Arm:
    """An arm by key; `dual_4096` is two pools split at 4,096 tokens.

    Raises:
        KeyError: No such arm.
    """
    name, _, threshold = key.partition("_")
    if name == "dual" and threshold.isdigit():
        return dual(int(threshold))
    return ARMS[key]
