"""The fewest instances that keep the SLO, found by simulation.

A pool keeps it when at most one request in a hundred misses its TTFT limit, and at most one the TPOT limit. A request
whose first token would take longer than half the TTFT limit even on an idle instance is held against twice that idle
time instead: no fleet can be faster. Whether the SLO as it stands holds over all pools is said beside it
(`Sized.holds_slo`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from loadgen.planning.closed_form import idle_ttft_seconds, saturation
from loadgen.planning.hardware import Hardware, PoolShape
from loadgen.planning.pool_run import Balance, Limits, PoolRun, run_pool
from loadgen.planning.slo import MISS_SHARE, Slo
from loadgen.planning.traffic import Floats, Sizes, Traffic, drawn

WARM_UP_SECONDS = 30.0
"""Virtual time that is not counted: a fleet that starts empty answers faster than a full one."""

_MOST_TRIED = 400

_IDLE_FACTOR = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How long runs are.

    Attributes:
        counted_seconds: Least virtual time that counts.
        counted_requests: Least number of requests that count.
        precision: Share of the fleet to which its size is searched; 0 for single instances.
    """

    counted_seconds: float = 60.0
    counted_requests: int = 3000
    precision: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sized:
    """A pool of the size that was found.

    Attributes:
        instances: Fewest that keep the SLO; None when no number does.
        traffic: What the runs got; None when nothing comes.
        run: The run at this size; None when there is none.
        reason: Why there is none; empty otherwise.
    """

    instances: int | None
    traffic: Traffic | None
    run: PoolRun | None
    reason: str = ""


def make_traffic(sizes: Sizes, rate: float, effort: Effort, rng: np.random.Generator) -> tuple[Traffic, int]:
    """Requests for one run, and how many of them only warm the fleet up."""
    warm = math.ceil(rate * WARM_UP_SECONDS)
    counted = max(math.ceil(rate * effort.counted_seconds), effort.counted_requests)
    return drawn(sizes, warm + counted, rate, rng), warm


def size_pool(
    shape: PoolShape,
    hardware: Hardware,
    sizes: Sizes,
    rate: float,
    *,
    slo: Slo,
    effort: Effort,
    rng: np.random.Generator,
    balance: Balance = Balance.SHORTEST_QUEUE,
    start: int | None = None,
    on_run: Callable[[], None] = lambda: None,
) -> Sized:
    """Find the fewest instances for a traffic, by doubling and halving from what the closed form says.

    Args:
        shape: How the instances are configured.
        hardware: What they are.
        sizes: Requests that are drawn from, not empty; each must fit the shape's context.
        rate: Requests per second, above 0.
        slo: What to keep.
        effort: How long runs are.
        rng: Of arrivals and draws; all sizes are tried on the same traffic.
        balance: How an instance is chosen.
        start: Where to start; None for the closed form's answer.
        on_run: Called after each run.

    Raises:
        ValueError: The hardware cannot hold the shape's context.
    """
    config = shape.engine(hardware)
    traffic, warm = make_traffic(sizes, rate, effort, rng)
    limits = _limits(shape, hardware, traffic, warm, slo)
    unreachable = _unreachable(hardware, traffic, slo)
    if unreachable:
        return Sized(instances=None, traffic=traffic, run=None, reason=unreachable)
    runs: dict[int, PoolRun] = {}

    def keeps(instances: int) -> bool:
        found = run_pool(config, instances, traffic, balance=balance, counted=warm, limits=limits)
        on_run()
        runs[instances] = found
        return found.is_complete

    guess = start or math.ceil(rate / saturation(shape, hardware, sizes, slo).requests_per_second)
    instances = _fewest(keeps, max(1, guess), effort.precision)
    if instances is None:
        return Sized(
            instances=None,
            traffic=traffic,
            run=None,
            reason="no number of instances keeps the limits: iterations with prefills take too long",
        )
    return Sized(instances=instances, traffic=traffic, run=runs[instances])


def _limits(shape: PoolShape, hardware: Hardware, traffic: Traffic, warm: int, slo: Slo) -> Limits:
    idle = idle_ttft_seconds(shape, hardware, traffic.sizes.prompt_tokens.astype(np.float64))
    return Limits(
        ttft_seconds=np.maximum(slo.ttft_seconds, _IDLE_FACTOR * idle),
        tpot_seconds=slo.tpot_seconds,
        misses=int(MISS_SHARE * (len(traffic) - warm)),
    )


def _unreachable(hardware: Hardware, traffic: Traffic, slo: Slo) -> str:
    speed = hardware.speed
    context = float(traffic.sizes.prompt_tokens.mean())
    alone = speed.base_seconds + speed.per_sequence_seconds + speed.per_context_token_seconds * context
    if alone > slo.tpot_seconds:
        return f"a sequence alone takes {1000 * alone:.0f} ms per token, {1000 * slo.tpot_seconds:.0f} are allowed"
    return ""


def _fewest(keeps: Callable[[int], bool], guess: int, precision: float) -> int | None:
    """Bracket from the guess in growing steps, then halve; None when nothing keeps."""
    step = max(1, round(0.04 * guess))
    low, high = 0, guess
    if keeps(guess):
        while high - step > low:
            if not keeps(high - step):
                low = high - step
                break
            high -= step
            step *= 2
    else:
        low, high = guess, guess + step
        while not keeps(high):
            step *= 2
            low, high = high, high + step
            if high > 40 * guess + _MOST_TRIED:
                return None
    while high - low > max(1, round(precision * high)):
        middle = (low + high) // 2
        if keeps(middle):
            high = middle
        else:
            low = middle
    return high


def holds_slo(ttft_seconds: Floats, tpot_seconds: Floats, slo: Slo) -> bool:
    """True when the SLO holds as it stands over requests that all count; NaN counts as kept."""
    most = MISS_SHARE * len(ttft_seconds)
    late = int((ttft_seconds > slo.ttft_seconds).sum())
    slow = int((tpot_seconds > slo.tpot_seconds).sum())
    return max(late, slow) <= most
