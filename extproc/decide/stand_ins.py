"""Who stands in when a plan's first instance fails, or turns out too small for the prompt."""

from __future__ import annotations

import numpy as np

from extproc.decide.plan import TokenBudget
from extproc.decide.pools import PoolChoice
from extproc.fleet.snapshot import FleetSnapshot, Ints

OVERFLOW_FACTOR = 2.0
"""A prompt this many times its conservative estimate must still fit, else the plan provides for an overflow."""


def roomy_tokens(budget: TokenBudget) -> float:
    """Context length from which on no overflow is expected, in tokens."""
    given = budget.output_tokens if budget.output_is_given else 0
    return OVERFLOW_FACTOR * budget.longest_prompt_tokens_upper + given


def order_of_one_model(
    in_pool: list[int], elsewhere: list[int], roomy: float, snapshot: FleetSnapshot
) -> list[int]:
    """Order the tries of one model, leaving the pool only for a reason.

    1. The first instance could turn out too small: the best roomier one of another pool comes second.
    2. The pool has a second instance to fail over to: the plan stays in the pool, on Envoy's plain path.
    3. It has none, or none that did not fail lately: other pools stand in.
    """
    clusters = snapshot.table.clusters
    limit = clusters[in_pool[0]].max_model_len
    if roomy > limit:
        larger = next((row for row in elsewhere if clusters[row].max_model_len > limit), None)
        if larger is not None:
            return [in_pool[0], larger, *in_pool[1:]]
    return [in_pool[0], *elsewhere, *in_pool[1:]] if is_alone(in_pool, snapshot) else in_pool


def with_roomier(rows: list[int], pool: PoolChoice, roomy: float, snapshot: FleetSnapshot) -> list[int]:
    """Put a larger instance of the first one's model second: the first could turn out too small."""
    table, (first, *following) = snapshot.table, rows
    known = np.concatenate((np.array(following, dtype=np.int64), pool.others))
    limits = table.max_model_len.take(known)
    is_larger = (table.model_index[known] == table.model_index[first]) & (limits > table.max_model_len[first])
    larger = known[is_larger & ~snapshot.suspect[known]]
    if not len(larger):
        return rows
    # Of several the first that surely has room, else the largest.
    surely = larger[table.max_model_len[larger] >= roomy]
    second = int(surely[0] if len(surely) else larger[table.max_model_len[larger].argmax()])
    return with_second(rows, second)


def with_second(rows: list[int], second: int) -> list[int]:
    """Put a row second, whether it is among the others or not."""
    return [rows[0], second, *(row for row in rows[1:] if row != second)]


def is_one_model(first: int, second: int, snapshot: FleetSnapshot) -> bool:
    """Tell whether two rows serve one model."""
    model_index = snapshot.table.model_index
    return bool(model_index[first] == model_index[second])


def is_alone(rows: list[int], snapshot: FleetSnapshot) -> bool:
    """Tell whether nobody but the first of some rows is likely to serve: the others, if any, failed lately."""
    return bool(snapshot.suspect[rows[1:]].all())


def of_other_models(first: int, ranked: Ints, snapshot: FleetSnapshot) -> list[int]:
    """The first of ranked rows of each model but that of the row `first`, in their order."""
    models = snapshot.table.model_index.take(ranked)
    _, where = np.unique(models, return_index=True)
    best = ranked[np.sort(where)]
    found: list[int] = best[
        snapshot.table.model_index.take(best) != snapshot.table.model_index[first]
    ].tolist()
    return found


def overflow_addresses(
    rows: list[int], budget: TokenBudget | None, snapshot: FleetSnapshot
) -> tuple[str, ...]:
    """Instances of the plan that may turn out too small and have a larger one later in the plan."""
    if budget is None:
        return ()
    table, roomy = snapshot.table, roomy_tokens(budget)
    limits = [table.clusters[row].max_model_len for row in rows]
    if min(limits) >= roomy:
        return ()
    return tuple(
        table.addresses[row]
        for position, row in enumerate(rows)
        if limits[position] < roomy and limits[position] < max(limits[position:])
    )
