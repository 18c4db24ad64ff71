"""What users feel in fleets of a given size: percentiles, preemptions, overflows; by the lean path or the router."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from extproc.decide.order import Policy
from loadgen.planning.closed_form import saturation
from loadgen.planning.fleet_run import FleetRun, Turns, run_fleet
from loadgen.planning.hardware import Hardware
from loadgen.planning.lean import Budgets, LeanChooser
from loadgen.planning.pool_run import Balance
from loadgen.planning.sizing import WARM_UP_SECONDS
from loadgen.planning.split import assign
from loadgen.planning.topology import PlannedPool, addresses, topology
from loadgen.planning.traffic import Floats, drawn
from loadgen.reproduce.dual_pool.arms import arm_of
from loadgen.reproduce.dual_pool.router_run import RouterChooser
from loadgen.reproduce.dual_pool.sizing_tasks import MACHINES, SLO, sizes_of
from loadgen.reproduce.dual_pool.texts import pieces, prompts


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadTask:
    """What is run.

    Attributes:
        trace, machine, arm: As of a `SizingTask`.
        rate: Requests per second.
        counted_seconds: Virtual time that counts.
        pools: Instances of each pool; empty for as many as `utilisation` needs.
        utilisation: Load over what the closed form says the pools can do.
        kv_tokens: Tokens of KV cache per instance; None for the machine's own.
        router: Policy of the production router; None for the lean path.
        limits_outputs: True when clients state the output they want; else the router provides for a quantile.
        seed: Of arrivals, draws and texts.
        data: The data folder, or None.
    """

    trace: str
    machine: str
    arm: str
    rate: float
    counted_seconds: float
    seed: int
    data: Path | None
    pools: tuple[int, ...] = ()
    utilisation: float = 0.9
    kv_tokens: int | None = None
    router: Policy | None = None
    limits_outputs: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Felt:
    """What came of it; times in seconds.

    Attributes:
        pools: Instances of each pool.
        ttft_p50, ttft_p99, tpot_p50, tpot_p99: Percentiles over the requests that counted.
        preemptions_per_mille: Preemptions per thousand requests.
        pool_preemptions_per_mille: The same by pool that served.
        overflow_share: Share of the requests that an instance found too long before another one served them.
        rejected_share: Share that nobody served.
        short_share: Share that the first pool served.
    """

    pools: tuple[int, ...]
    ttft_p50: float
    ttft_p99: float
    tpot_p50: float
    tpot_p99: float
    preemptions_per_mille: float
    pool_preemptions_per_mille: tuple[float, ...]
    overflow_share: float
    rejected_share: float
    short_share: float


def run_load(task: LoadTask) -> Felt:
    """Run one fleet.

    Raises:
        FileNotFoundError: The data folder lacks a file.
    """
    hardware = MACHINES[task.machine]
    if task.kv_tokens is not None:
        hardware = replace(hardware, kv_blocks=task.kv_tokens // 16)
    arm = arm_of(task.arm)
    counts = task.pools or _pools_for(task, hardware)
    thresholds = (*arm.thresholds, None)
    pools = [
        PlannedPool(shape=shape, instances=max(1, count), threshold_tokens=threshold)
        for shape, count, threshold in zip(arm.shapes, counts, thresholds, strict=True)
    ]
    rng = np.random.default_rng(task.seed)
    warm = math.ceil(task.rate * WARM_UP_SECONDS)
    count = warm + math.ceil(task.rate * task.counted_seconds)
    traffic = drawn(sizes_of(task.trace, task.data), count, task.rate, rng)
    fleet = topology(hardware, pools)
    if arm.balance is Balance.ROUND_ROBIN:
        run = run_fleet(hardware, pools, traffic, Turns(addresses(0, pools[0].instances)))
    elif task.router is not None:
        found = pieces(task.data)
        made = prompts(traffic.sizes.prompt_tokens, found, rng)
        router = RouterChooser(
            fleet,
            made,
            traffic.sizes,
            found,
            policy=task.router,
            limits_outputs=task.limits_outputs,
            rng=rng,
        )
        run = run_fleet(hardware, pools, traffic, router, is_scraped=True)
    else:
        run = run_fleet(hardware, pools, traffic, LeanChooser(fleet, Budgets.true(traffic.sizes)))
    return _felt(run, warm, tuple(pool.instances for pool in pools))


def _pools_for(task: LoadTask, hardware: Hardware) -> tuple[int, ...]:
    """Instances at which each pool is used as much as asked for."""
    arm = arm_of(task.arm)
    sizes = sizes_of(task.trace, task.data)
    pool_of = assign(sizes.total_tokens, arm.thresholds, arm.shapes)
    counts = []
    for index, shape in enumerate(arm.shapes):
        mine = pool_of == index
        if not mine.any():
            counts.append(1)
            continue
        able = saturation(shape, hardware, sizes.where(mine), SLO).requests_per_second
        counts.append(math.ceil(float(mine.mean()) * task.rate / (task.utilisation * able)))
    return tuple(counts)


def _felt(run: FleetRun, warm: int, pools: tuple[int, ...]) -> Felt:
    ttft, tpot = run.ttft_seconds[warm:], run.tpot_seconds[warm:]
    preempted, pool_of = run.preemptions[warm:], run.pool[warm:]
    served = pool_of >= 0
    by_pool = [
        1e3 * float(preempted[pool_of == index].mean()) if (pool_of == index).any() else 0.0
        for index in range(len(pools))
    ]
    return Felt(
        pools=pools,
        ttft_p50=_quantile(ttft, 0.5),
        ttft_p99=_quantile(ttft, 0.99),
        tpot_p50=_quantile(tpot, 0.5),
        tpot_p99=_quantile(tpot, 0.99),
        preemptions_per_mille=1e3 * float(preempted[served].mean()) if served.any() else 0.0,
        pool_preemptions_per_mille=tuple(by_pool),
        overflow_share=float((run.overflows[warm:] > 0).mean()),
        rejected_share=float((~served).mean()),
        short_share=float((pool_of == 0).mean()),
    )


def _quantile(values: Floats, share: float) -> float:
    known = values[~np.isnan(values)]
    return float(np.quantile(known, share)) if len(known) else float("nan")
