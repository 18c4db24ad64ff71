"""Which requests go to which pool when nothing spills over, and how many instances each pool then needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from loadgen.planning.closed_form import published_savings, saturation
from loadgen.planning.hardware import Hardware, PoolShape
from loadgen.planning.pool_run import Balance
from loadgen.planning.sizing import Effort, Sized, size_pool
from loadgen.planning.slo import Slo
from loadgen.planning.traffic import Ints, Sizes


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a fleet is sized for.

    Attributes:
        hardware: What instances are.
        sizes: Requests that are drawn from.
        rate: Requests per second.
        slo: What to keep.
        effort: How long runs are.
        seed: Of arrivals and draws.
        balance: How an instance of a pool is chosen.
    """

    hardware: Hardware
    sizes: Sizes
    rate: float
    slo: Slo
    effort: Effort
    seed: int
    balance: Balance = Balance.SHORTEST_QUEUE


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolNeed:
    """What one pool needs.

    Attributes:
        shape: Its configuration.
        share: Share of the requests that it takes.
        sized: Its size; zero instances when nothing comes.
    """

    shape: PoolShape
    share: float
    sized: Sized


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetNeed:
    """What a fleet needs.

    Attributes:
        pools: By pool, ascending by context.
        rejected_share: Share of the requests that no pool can hold.
    """

    pools: tuple[PoolNeed, ...]
    rejected_share: float

    @property
    def instances(self) -> int | None:
        """Instances in all; None when a pool cannot keep the SLO at any size."""
        found = [pool.sized.instances for pool in self.pools]
        return None if None in found else sum(count for count in found if count is not None)

    @property
    def reason(self) -> str:
        """Why there is no size; empty when there is one."""
        return "; ".join(f"{p.shape.name}: {p.sized.reason}" for p in self.pools if p.sized.reason)


def assign(budget_tokens: Ints, thresholds: tuple[int, ...], shapes: tuple[PoolShape, ...]) -> Ints:
    """Pool of each request by its budget: the first whose threshold and context hold it; -1 for none.

    Args:
        budget_tokens: Prompt and output.
        thresholds: One less than shapes, ascending.
        shapes: Ascending by context.
    """
    pools = np.full(len(budget_tokens), -1, dtype=np.int64)
    for index in reversed(range(len(shapes))):
        context = shapes[index].max_model_len
        limit = context if index == len(shapes) - 1 else min(thresholds[index], context)
        pools[budget_tokens <= limit] = index
    return pools


def size_fleet(
    question: Question,
    shapes: tuple[PoolShape, ...],
    thresholds: tuple[int, ...] = (),
    *,
    starts: tuple[int | None, ...] = (),
    on_run: Callable[[], None] = lambda: None,
) -> FleetNeed:
    """Size each pool for what the thresholds send to it.

    Args:
        question: Traffic, hardware and SLO.
        shapes: Pools, ascending by context.
        thresholds: Budgets up to which a pool is preferred, for all pools but the last.
        starts: Where to start the search of each pool; empty for the closed form's answer.
        on_run: Called after each simulated run.

    Raises:
        ValueError: The hardware cannot hold a pool's context.
    """
    pool_of = assign(question.sizes.total_tokens, thresholds, shapes)
    needs: list[PoolNeed] = []
    for index, shape in enumerate(shapes):
        mine = pool_of == index
        share = float(mine.mean())
        sized = Sized(instances=0, traffic=None, run=None)
        if share:
            sized = size_pool(
                shape,
                question.hardware,
                question.sizes.where(mine),
                share * question.rate,
                slo=question.slo,
                effort=question.effort,
                rng=np.random.default_rng((question.seed, index)),
                balance=question.balance,
                start=starts[index] if starts else None,
                on_run=on_run,
            )
        needs.append(PoolNeed(shape=shape, share=share, sized=sized))
    return FleetNeed(pools=tuple(needs), rejected_share=float((pool_of < 0).mean()))


@dataclass(frozen=True, slots=True)
class ClosedForm:
    """The published formula's answer for two pools.

    Attributes:
        alpha: Share of the requests that the short pool takes.
        rho: Throughput of a short instance over that of a homogeneous one.
        savings: alpha (1 - 1/rho).
    """

    alpha: float
    rho: float
    savings: float


def closed_form(question: Question, short: PoolShape, homogeneous: PoolShape, threshold: int) -> ClosedForm:
    """Savings as the formula says, with throughputs of the iteration model under the SLO's TPOT."""
    sizes = question.sizes
    is_short = sizes.total_tokens <= min(threshold, short.max_model_len)
    alpha = float(is_short.mean())
    if not alpha:
        return ClosedForm(0.0, 1.0, 0.0)
    fast = saturation(short, question.hardware, sizes.where(is_short), question.slo).requests_per_second
    slow = saturation(homogeneous, question.hardware, sizes, question.slo).requests_per_second
    return ClosedForm(alpha, fast / slow, published_savings(alpha, fast / slow))
