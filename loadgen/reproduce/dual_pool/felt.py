"""What users feel, put together over seeds, and the tables of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from extproc.decide.order import Policy
from loadgen.reproduce.dual_pool.arms import arm_of
from loadgen.reproduce.dual_pool.load_tasks import Felt, LoadTask
from loadgen.reproduce.dual_pool.machines import MEMORY_CASES
from loadgen.reproduce.dual_pool.shown import shown
from loadgen.reproduce.dual_pool.sizes import over_seeds
from loadgen.reproduce.dual_pool.traces import TITLES
from loadgen.reproduce.findings import Chart, Mark, Series, Table
from loadgen.virtual.summary import Figure

FELT_TRACES = ("azure_tailed", "azure")
FELT_ARMS = ("published_baseline", "homogeneous", "honest", "dual")
MEMORY_ARMS = ("homogeneous", "honest", "dual")
ROUTED_ARMS = ("honest", "dual")
ROUTED_POLICIES = (None, Policy.SHORTEST_QUEUE, Policy.LEAST_WORK)
"""The lean path, and the router with two of its policies."""

Case = tuple[str, str, int | None, Policy | None]
"""Trace, arm, tokens of KV cache (None: as published), policy of the router (None: lean path)."""


def felt_tasks(
    data: Path | None,
    seed: int,
    *,
    seeds: int,
    counted_seconds: float,
    pools: Mapping[str, tuple[int, ...]],
    memory: Sequence[int] = tuple(MEMORY_CASES),
) -> Iterator[LoadTask]:
    """Every run, those with the router first: they are the longest.

    Args:
        data: The data folder, or None.
        seed: Of everything.
        seeds: Runs of each case.
        counted_seconds: Virtual time of a run that counts.
        pools: Sizes found at 100 requests per second on the tailed trace, by arm: what the router is run with.
        memory: Keys of `MEMORY_CASES`, the first and the least of them among these.
    """
    first = LoadTask(
        trace="azure_tailed",
        machine="published",
        arm="dual",
        rate=100.0,
        counted_seconds=counted_seconds,
        seed=1000 * seed + 500,
        data=data,
    )
    for arm in ROUTED_ARMS:
        for policy in reversed(ROUTED_POLICIES):
            yield from _seeds(replace(first, arm=arm, pools=pools[arm], router=policy), seeds)
    for trace in FELT_TRACES:
        for arm in FELT_ARMS:
            yield from _seeds(replace(first, trace=trace, arm=arm), seeds)
    for tokens in memory:
        for arm in MEMORY_ARMS:
            yield from _seeds(replace(first, arm=arm, kv_tokens=tokens), seeds)


def _seeds(first: LoadTask, count: int) -> Iterator[LoadTask]:
    return (replace(first, seed=first.seed + number) for number in range(count))


@dataclass(frozen=True, slots=True)
class FeltBook:
    """What was felt; sized fleets and those at 90 % utilisation are kept apart.

    Attributes:
        loaded: At 90 % utilisation, by case, in the order of the seeds.
        routed: In the fleets that were sized, by arm and policy.
    """

    loaded: Mapping[Case, tuple[Felt, ...]]
    routed: Mapping[tuple[str, Policy | None], tuple[Felt, ...]]

    @classmethod
    def of(cls, tasks: Sequence[LoadTask], results: Sequence[Felt]) -> FeltBook:
        """Collect what came of the tasks."""
        loaded: defaultdict[Case, list[Felt]] = defaultdict(list)
        routed: defaultdict[tuple[str, Policy | None], list[Felt]] = defaultdict(list)
        for task, felt in zip(tasks, results, strict=True):
            if task.pools:
                routed[task.arm, task.router].append(felt)
            else:
                loaded[task.trace, task.arm, task.kv_tokens, task.router].append(felt)
        return cls(
            {case: tuple(several) for case, several in loaded.items()},
            {case: tuple(several) for case, several in routed.items()},
        )

    @property
    def memory(self) -> tuple[int, ...]:
        """The KV memories that were run, tokens, the largest first."""
        return tuple(
            tokens for tokens in MEMORY_CASES if ("azure_tailed", "dual", tokens, None) in self.loaded
        )

    def figure(self, case: Case, value: Callable[[Felt], float]) -> Figure:
        """A figure at 90 % utilisation, over seeds."""
        return over_seeds([value(felt) for felt in self.loaded[case]], floor=0.0)

    def change(self, trace: str, against: str, value: Callable[[Felt], float]) -> Figure:
        """By how many per cent two pools change a figure against another arm, seed by seed."""
        pairs = zip(
            self.loaded[trace, "dual", None, None], self.loaded[trace, against, None, None], strict=True
        )
        return over_seeds([100.0 * (value(ours) / value(theirs) - 1.0) for ours, theirs in pairs])


def felt_table(book: FeltBook) -> Table:
    """Times at 90 % utilisation."""
    rows = []
    for trace in FELT_TRACES:
        for arm in FELT_ARMS:
            case: Case = (trace, arm, None, None)
            rows.append((TITLES[trace], arm_of(arm).title, *_times(book.loaded[case])))
    return Table(
        title="What users feel at 90 % utilisation, as published",
        columns=("trace", "fleet", "instances", "TTFT P50 ms", "TTFT P99 ms", "TPOT P50 ms", "TPOT P99 ms"),
        rows=tuple(rows),
        note="100 requests per second; utilisation is the load over the closed form's throughput of each pool.",
    )


def _times(several: tuple[Felt, ...]) -> tuple[str, ...]:
    return (
        " + ".join(map(str, several[0].pools)),
        shown(over_seeds([1e3 * felt.ttft_p50 for felt in several], floor=0.0), 0),
        shown(over_seeds([1e3 * felt.ttft_p99 for felt in several], floor=0.0), 0),
        shown(over_seeds([1e3 * felt.tpot_p50 for felt in several], floor=0.0)),
        shown(over_seeds([1e3 * felt.tpot_p99 for felt in several], floor=0.0)),
    )


def memory_table(book: FeltBook) -> Table:
    """Preemptions by KV memory."""
    rows = []
    for tokens in book.memory:
        for arm in MEMORY_ARMS:
            case: Case = ("azure_tailed", arm, tokens, None)
            felt = book.loaded[case]
            by_pool = zip(*(one.pool_preemptions_per_mille for one in felt), strict=True)
            rows.append(
                (
                    f"{tokens:,}",
                    MEMORY_CASES[tokens],
                    arm_of(arm).title,
                    " + ".join(map(str, felt[0].pools)),
                    shown(book.figure(case, lambda one: one.preemptions_per_mille)),
                    ", ".join(shown(over_seeds(values, floor=0.0)) for values in by_pool),
                    shown(book.figure(case, lambda one: 1e3 * one.ttft_p99), 0),
                )
            )
    return Table(
        title="Preemptions hang on the KV memory",
        columns=(
            "KV tokens",
            "that is",
            "fleet",
            "instances",
            "preemptions per mille",
            "by pool",
            "TTFT P99 ms",
        ),
        rows=tuple(rows),
        note="Azure, tail as published, 90 % utilisation of what the memory allows, 100 requests per second.",
    )


def memory_chart(book: FeltBook) -> Chart:
    """Preemptions over KV memory."""
    series = []
    for arm in MEMORY_ARMS:
        figures = [
            book.figure(("azure_tailed", arm, tokens, None), lambda one: one.preemptions_per_mille)
            for tokens in book.memory
        ]
        series.append(
            Series(
                label=arm_of(arm).title,
                x=tuple(float(tokens) for tokens in book.memory),
                y=tuple(figure.value for figure in figures),
                low=tuple(figure.low for figure in figures),
                high=tuple(figure.high for figure in figures),
                mark=Mark.LINE,
            )
        )
    return Chart(
        title="With the KV memory of the published table nothing is ever preempted",
        x_label="KV cache of an instance, tokens",
        y_label="preemptions per thousand requests",
        series=tuple(series),
        x_is_log=True,
    )


def router_table(book: FeltBook) -> Table:
    """The production router in the sized fleets, beside the lean path."""
    rows = []
    for arm in ROUTED_ARMS:
        for policy in ROUTED_POLICIES:
            felt = book.routed[arm, policy]
            rows.append(
                (
                    arm_of(arm).title,
                    "lean path" if policy is None else f"router, {policy.value}",
                    *_times(felt),
                    shown(over_seeds([100 * one.short_share for one in felt]), unit=" %"),
                    shown(over_seeds([1e3 * one.overflow_share for one in felt], floor=0.0), 2),
                    shown(over_seeds([1e3 * one.rejected_share for one in felt], floor=0.0), 2),
                )
            )
    return Table(
        title="The production router in these fleets",
        columns=(
            "fleet",
            "who chooses",
            "instances",
            "TTFT P50 ms",
            "TTFT P99 ms",
            "TPOT P50 ms",
            "TPOT P99 ms",
            "first pool",
            "overflows per mille",
            "refused per mille",
        ),
        rows=tuple(rows),
        note=(
            "Azure, tail as published, 100 requests per second, fleets as sized. The router reads texts, estimates "
            "their tokens and learns from every answer; the lean path knows the true counts and sends to the "
            "shortest queue. Both spill over at a pressure of 0.85. Overflows were found too long by one instance "
            "and served by the next."
        ),
    )
