"""Which pool a token budget goes to.

The order of the steps is that of dual-pool token-budget routing (arXiv 2604.08075), for any number of pools:
capacity, threshold, spillover by load to a pool that can hold the budget, and the capacity check once more. Capacity is
held against the conservative estimate, since an overflow costs a try; the threshold against the expected one, since
being on the wrong side of it costs little, and the conservative figure would send many short requests long.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from extproc.decide.plan import TokenBudget
from extproc.errors import BadRequestError
from extproc.fleet.snapshot import FleetSnapshot, Ints
from extproc.fleet.topology import Pool

_MOST_NAMED = 5
"""Models that an error message lists."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolChoice:
    """The chosen pool.

    Attributes:
        index: Index of the pool in `fleet.pools`.
        rows: Candidates of the pool that can hold the budget, at least one.
        others: Candidates of other pools that can hold the budget: where a plan may go on after failures.
        reason: `threshold`, `capacity` (the preferred pool was too small), `spill` or `tight` (no limit surely
            holds the conservative estimate, but the expected one fits).
    """

    index: int
    rows: Ints
    others: Ints
    reason: str


def choose_pool(budget: TokenBudget, rows: Ints, snapshot: FleetSnapshot) -> PoolChoice:
    """Choose among the pools of the candidates.

    Raises:
        BadRequestError: The budget exceeds every candidate's limit; the message names the estimate and the limit.
    """
    pools = snapshot.table.fleet.pools
    # 1. Capacity: who can hold the budget at all.
    fitting, tight = _fitting(budget, rows, snapshot)
    pool_of = snapshot.table.pool_index.take(fitting)
    present = [0] if len(pools) == 1 else np.bincount(pool_of).nonzero()[0].tolist()
    # 2. Threshold: the first pool whose threshold covers the budget, else the last that can hold it.
    by_threshold = next(index for index, pool in enumerate(pools) if _covers(budget, pool))
    preferred = next((index for index in present if index >= by_threshold), present[-1])
    reason = "tight" if tight else "threshold" if preferred == by_threshold else "capacity"
    if len(present) == 1:
        return PoolChoice(index=preferred, rows=fitting, others=fitting[:0], reason=reason)
    # 3. Spillover: an overloaded pool hands over to the least loaded pool that is not overloaded itself; a pool
    #    without a healthy instance, whose pressure is infinite, hands over to any that has one.
    chosen, is_chosen = preferred, pool_of == preferred
    if _pressure(fitting[is_chosen], snapshot) >= pools[preferred].spill_at:
        pressure = {index: _pressure(fitting[pool_of == index], snapshot) for index in present}
        is_dead = math.isinf(pressure[preferred])
        calm = [
            index
            for index, value in pressure.items()
            if value < pools[index].spill_at or (is_dead and math.isfinite(value))
        ]
        if calm:
            chosen, reason = min(calm, key=pressure.__getitem__), "spill"
            is_chosen = pool_of == chosen
    # 4. Capacity of the final pool holds by construction: `present` knows only pools with fitting candidates.
    return PoolChoice(index=chosen, rows=fitting[is_chosen], others=fitting[~is_chosen], reason=reason)


def _fitting(budget: TokenBudget, rows: Ints, snapshot: FleetSnapshot) -> tuple[Ints, bool]:
    limits = snapshot.table.max_model_len.take(rows)
    fits = limits >= budget.total_tokens
    if np.count_nonzero(fits) == len(rows):
        return rows, False
    fitting = rows[fits]
    if len(fitting):
        return fitting, False
    # The estimate is conservative, and an instance shortens an output that nobody asked for to its own limit. So
    # only what exceeds the largest limit even at the low end of the estimate is refused.
    largest = int(limits.max())
    low = 2 * budget.longest_prompt_tokens - budget.longest_prompt_tokens_upper
    least = low + (budget.output_tokens if budget.output_is_given else 1)
    if least <= largest:
        return rows[limits == largest], True
    table = snapshot.table
    here = sorted({table.models[index] for index in table.model_index.take(rows).tolist()})
    whose = f"The model `{here[0]}`" if len(here) == 1 else "No model here"
    larger = sorted(
        {table.models[index] for index in table.model_index[(table.max_model_len >= least) & snapshot.usable]}
    )
    elsewhere = f" {_listed(larger)} could." if larger else ""
    asked = f" and {budget.output_tokens} tokens were asked for as output" if budget.output_is_given else ""
    raise BadRequestError(
        f"{whose} {'cannot' if len(here) == 1 else 'can'} hold this request: the prompt has about "
        f"{budget.longest_prompt_tokens} tokens{asked}, and the largest context length is {largest} tokens."
        f"{elsewhere} Shorten the prompt{' or lower the output limit' if budget.output_is_given else ''}.",
        reason="context-length-exceeded",
        param="messages",
    )


def _listed(names: list[str]) -> str:
    """Names in quotes; of many the first few."""
    return ", ".join(f"`{name}`" for name in names[:_MOST_NAMED])


def _covers(budget: TokenBudget, pool: Pool) -> bool:
    return pool.threshold_tokens is None or budget.expected_total_tokens <= pool.threshold_tokens


def _pressure(rows: Ints, snapshot: FleetSnapshot) -> float:
    """Sequences over slots, mean over the pool's healthy candidates; infinite when there is none."""
    healthy = rows[~snapshot.suspect[rows]]
    if not len(healthy):
        return math.inf
    return float(snapshot.sequences[healthy] @ snapshot.table.share_per_sequence[healthy]) / len(healthy)
