"""From a trace to a recommended fleet: one pool as it is, one pool as it could be, and two pools by threshold."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from multiprocessing import get_context

import numpy as np

from loadgen.planning.closed_form import beyond_reach_share
from loadgen.planning.fleet_run import FleetRun, run_fleet
from loadgen.planning.hardware import Hardware, PoolShape
from loadgen.planning.lean import Budgets, LeanChooser
from loadgen.planning.sizing import Effort, holds_slo, make_traffic
from loadgen.planning.slo import Slo
from loadgen.planning.split import Question, closed_form, size_fleet
from loadgen.planning.topology import PlannedPool, topology
from loadgen.planning.traffic import Sizes

SLICE_RATE = 200.0
"""Most requests per second that are simulated at once; a larger load is cut into equal slices."""

BASELINE, ONE_POOL = "baseline", "one_pool"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRequest:
    """What a fleet is planned for.

    Attributes:
        sizes: Requests of the trace.
        rate: Requests per second.
        hardware: What instances are.
        slo: What to keep.
        context_tokens: Context of the long pool, and of a single one.
        baseline_seqs: Sequences of the single pool as many run it: sized for full contexts.
        max_num_seqs: Sequences of the other pools; the KV memory bounds them anyway.
        batch_tokens: `max_num_batched_tokens` of every pool.
        thresholds: That are tried.
        seeds: Runs of each fleet; the largest answer counts.
        seed: Of the first of them.
        effort: How long runs are.
    """

    sizes: Sizes
    rate: float
    hardware: Hardware
    slo: Slo = field(default_factory=Slo)
    context_tokens: int = 65_536
    baseline_seqs: int = 16
    max_num_seqs: int = 128
    batch_tokens: int = 8_192
    thresholds: tuple[int, ...] = (2_048, 4_096, 8_192, 16_384)
    seeds: int = 3
    seed: int = 1
    effort: Effort = field(default_factory=Effort)

    def __post_init__(self) -> None:
        """Refuse what cannot be planned.

        Raises:
            ValueError: With the field at fault and what was expected.
        """
        if not 0 < self.rate < math.inf:
            raise ValueError(f"the rate must be above 0 requests per second, got {self.rate}")
        wrong = [t for t in self.thresholds if not 16 <= t < self.context_tokens]
        if wrong:
            raise ValueError(
                f"thresholds must lie between 16 and the context of {self.context_tokens} tokens, got {wrong}"
            )
        for shapes, _ in self.fleets().values():
            for shape in shapes:
                shape.engine(self.hardware)
        if not (self.sizes.total_tokens <= self.context_tokens).any():
            raise ValueError(f"no request of the trace fits a context of {self.context_tokens} tokens")

    @property
    def beyond_reach_share(self) -> float:
        """Share of the requests whose first token no fleet of this hardware gives in time, 0 to 1."""
        shape = self.fleets()[ONE_POOL][0][0]
        return beyond_reach_share(shape, self.hardware, self.sizes, self.slo)

    @property
    def slices(self) -> int:
        """Slices that the load is cut into."""
        return math.ceil(self.rate / SLICE_RATE)

    def fleets(self) -> Mapping[str, tuple[tuple[PoolShape, ...], tuple[int, ...]]]:
        """What is tried: pools and thresholds by name."""
        found: dict[str, tuple[tuple[PoolShape, ...], tuple[int, ...]]] = {
            BASELINE: ((self._shape("all", self.context_tokens, self.baseline_seqs),), ()),
            ONE_POOL: ((self._shape("all", self.context_tokens, self.max_num_seqs),), ()),
        }
        for threshold in sorted(self.thresholds):
            short = self._shape("short", threshold, self.max_num_seqs)
            long = self._shape("long", self.context_tokens, self.max_num_seqs)
            found[f"two_pools_{threshold}"] = ((short, long), (threshold,))
        return found

    def _shape(self, name: str, context: int, seqs: int) -> PoolShape:
        return PoolShape(
            name=name, max_model_len=context, max_num_seqs=seqs, max_num_batched_tokens=self.batch_tokens
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One fleet and its size.

    Attributes:
        name: `baseline`, `one_pool` or `two_pools_<threshold>`.
        pools: With their sizes; empty when no size keeps the SLO.
        shares: Share of the requests of each pool.
        spread: Fewest and most instances over the seeds.
        reason: Why there is no size.
        rejected_share: Share of the requests that no pool can hold.
        closed_savings: What the published formula says against the baseline; None for one pool.
    """

    name: str
    pools: tuple[PlannedPool, ...]
    shares: tuple[float, ...]
    spread: tuple[int, int]
    reason: str
    rejected_share: float
    closed_savings: float | None

    @property
    def instances(self) -> int | None:
        """Instances in all; None when no size keeps the SLO."""
        return sum(pool.instances for pool in self.pools) if self.pools else None

    @property
    def threshold(self) -> int | None:
        """Where it splits; None for one pool."""
        return self.pools[0].threshold_tokens if len(self.pools) > 1 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """The recommended fleet, run once more on other requests, all pools together and with spillover.

    Attributes:
        requests: That counted.
        ttft_p50, ttft_p99, tpot_p50, tpot_p99: Seconds.
        preemptions_per_mille: Preemptions per thousand requests.
        holds: True when the SLO held over all of them.
    """

    requests: int
    ttft_p50: float
    ttft_p99: float
    tpot_p50: float
    tpot_p99: float
    preemptions_per_mille: float
    holds: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """What is recommended, and what it was compared with.

    Attributes:
        request: What was asked.
        options: Every fleet that was tried, by name.
        best: The fleet with the fewest instances; None when no fleet keeps the SLO.
        check: Its last run; None without one.
    """

    request: PlanRequest
    options: Mapping[str, Option]
    best: Option | None
    check: Check | None

    def savings(self, name: str, against: str) -> float | None:
        """Share of the instances that one fleet saves against another, 0 to 1; negative when it takes more."""
        ours, theirs = self.options[name].instances, self.options[against].instances
        return 1 - ours / theirs if ours is not None and theirs else None


@dataclass(frozen=True, slots=True)
class _Trial:
    request: PlanRequest
    name: str
    seed: int


def advise(request: PlanRequest, *, processes: int, on_done: Callable[[], None] = lambda: None) -> Advice:
    """Try every fleet and recommend one.

    Args:
        request: What to plan for.
        processes: Fleets that are sized side by side; 1 for none but this process.
        on_done: Called after each of `trials(request)` runs.
    """
    trials = [
        _Trial(request, name, request.seed + number)
        for name in request.fleets()
        for number in range(request.seeds)
    ]
    found: dict[str, list[_Found]] = {name: [] for name in request.fleets()}
    for name, one in _run(trials, processes):
        found[name].append(one)
        on_done()
    options = {name: _option(request, name, several) for name, several in found.items()}
    best = _best(options)
    check = _check(request, best) if best is not None else None
    on_done()
    return Advice(request=request, options=options, best=best, check=check)


def trials(request: PlanRequest) -> int:
    """How many runs `advise` reports as done."""
    return len(request.fleets()) * request.seeds + 1


@dataclass(frozen=True, slots=True)
class _Found:
    counts: tuple[int, ...] | None
    shares: tuple[float, ...]
    rejected_share: float
    reason: str


def _run(tasks: Sequence[_Trial], processes: int) -> Iterator[tuple[str, _Found]]:
    if processes == 1:
        yield from ((trial.name, _size(trial)) for trial in tasks)
        return
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        futures = {pool.submit(_size, trial): trial.name for trial in tasks}
        for future in as_completed(futures):
            yield futures[future], future.result()


def _size(trial: _Trial) -> _Found:
    request = trial.request
    shapes, thresholds = request.fleets()[trial.name]
    question = _question(request, trial.seed)
    need = size_fleet(question, shapes, thresholds)
    counts = tuple((pool.sized.instances or 0) * request.slices for pool in need.pools)
    return _Found(
        None if need.instances is None else counts,
        tuple(pool.share for pool in need.pools),
        need.rejected_share,
        need.reason,
    )


def _question(request: PlanRequest, seed: int) -> Question:
    return Question(
        hardware=request.hardware,
        sizes=request.sizes,
        rate=request.rate / request.slices,
        slo=request.slo,
        effort=request.effort,
        seed=seed,
    )


def _option(request: PlanRequest, name: str, found: Sequence[_Found]) -> Option:
    shapes, thresholds = request.fleets()[name]
    counts = [one.counts for one in found if one.counts is not None]
    totals = [sum(several) for several in counts]
    pools: tuple[PlannedPool, ...] = ()
    if len(counts) == len(found):
        pools = tuple(
            PlannedPool(shape=shape, instances=max(1, *of_pool), threshold_tokens=threshold)
            for shape, of_pool, threshold in zip(
                shapes, zip(*counts, strict=True), (*thresholds, None), strict=True
            )
        )
    closed = None
    if thresholds:
        baseline = request.fleets()[BASELINE][0][0]
        closed = closed_form(_question(request, request.seed), shapes[0], baseline, thresholds[0]).savings
    return Option(
        name=name,
        pools=pools,
        shares=found[0].shares,
        spread=(min(totals, default=0), max(totals, default=0)),
        reason=next((one.reason for one in found if one.reason), ""),
        rejected_share=found[0].rejected_share,
        closed_savings=closed,
    )


def _best(options: Mapping[str, Option]) -> Option | None:
    """Fewest instances; of equals one pool before two, and the larger threshold before the smaller."""
    able = [option for name, option in options.items() if option.instances is not None and name != BASELINE]
    return min(
        able,
        key=lambda option: (option.instances or 0, len(option.pools), -(option.threshold or 0)),
        default=None,
    )


def _check(request: PlanRequest, option: Option) -> Check:
    """Run the fleet, or one slice of it, on requests that it was not sized for."""
    rng = np.random.default_rng((request.seed, 9_999))
    fitting = request.sizes.where(request.sizes.total_tokens <= request.context_tokens)
    traffic, warm = make_traffic(fitting, request.rate / request.slices, request.effort, rng)
    pools = [
        PlannedPool(
            shape=pool.shape,
            instances=max(1, pool.instances // request.slices),
            threshold_tokens=pool.threshold_tokens,
        )
        for pool in option.pools
    ]
    chooser = LeanChooser(topology(request.hardware, pools), Budgets.true(traffic.sizes))
    run = run_fleet(request.hardware, pools, traffic, chooser)
    return _checked(run, warm, request.slo)


def _checked(run: FleetRun, warm: int, slo: Slo) -> Check:
    ttft, tpot = run.ttft_seconds[warm:], run.tpot_seconds[warm:]
    ttft_p50, ttft_p99 = (float(value) for value in np.nanquantile(ttft, (0.5, 0.99)))
    tpot_p50, tpot_p99 = (float(value) for value in np.nanquantile(tpot, (0.5, 0.99)))
    return Check(
        requests=len(ttft),
        ttft_p50=ttft_p50,
        ttft_p99=ttft_p99,
        tpot_p50=tpot_p50,
        tpot_p99=tpot_p99,
        preemptions_per_mille=1e3 * float(run.preemptions[warm:].mean()),
        holds=holds_slo(ttft, tpot, slo),
    )
