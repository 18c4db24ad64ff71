"""Pools as the router knows them, so that its own code can decide among them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from extproc.fleet.topology import Cluster, Fleet, Instance, Pool, Price, Speed
from loadgen.planning.hardware import Hardware, PoolShape

MODEL = "model"
SPILL_AT = 0.85
"""The fleet file's default, and the threshold of the authors' simulator."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedPool:
    """A pool with its size.

    Attributes:
        shape: Its configuration.
        instances: At least 1.
        threshold_tokens: Budgets up to this prefer it; None for the last pool.
    """

    shape: PoolShape
    instances: int
    threshold_tokens: int | None


def topology(hardware: Hardware, pools: Sequence[PlannedPool], *, spill_at: float = SPILL_AT) -> Fleet:
    """The fleet as the router is told of it: one cluster per pool, all of one model."""
    speed = Speed(
        iteration_base_seconds=hardware.speed.base_seconds,
        iteration_per_sequence_seconds=hardware.speed.per_sequence_seconds,
        prefill_tokens_per_second=hardware.speed.prefill_tokens_per_second,
    )
    return Fleet(
        clusters=tuple(
            Cluster(
                name=pool.shape.name,
                model=MODEL,
                pool=pool.shape.name,
                max_model_len=pool.shape.max_model_len,
                max_num_seqs=pool.shape.max_num_seqs,
                price=Price(input_usd_per_mtok=0.0, output_usd_per_mtok=0.0),
                speed=speed,
                instances=tuple(Instance(address=address) for address in addresses(number, pool.instances)),
            )
            for number, pool in enumerate(pools)
        ),
        pools=tuple(
            Pool(name=pool.shape.name, threshold_tokens=pool.threshold_tokens, spill_at=spill_at)
            for pool in pools
        ),
    )


def addresses(pool: int, instances: int) -> tuple[str, ...]:
    """Addresses of a pool's instances: placeholders of a private network."""
    return tuple(f"10.{pool}.{index // 250}.{index % 250 + 1}:8000" for index in range(instances))
