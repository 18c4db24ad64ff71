"""Which cells are run, and how they are spread over processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from loadgen.reproduce.route_balance.arms import Arm, Bench, Choice, Planned, Rival, Scored
from loadgen.reproduce.route_balance.cells import Cell, Load, Pattern, Setting, Task, run_cells
from loadgen.reproduce.route_balance.families import (
    ALWAYS_LARGEST,
    AVENGERS_RR,
    AVENGERS_SQ,
    BEST_ROUTE_RR,
    BEST_ROUTE_SQ,
    FULL,
    MIN_MAX,
    NO_LATENCY,
    NOT_LONGEST_FIRST,
    ONE_ATTEMPT,
    RANDOM,
    RANDOM_ARM,
    ROUTE_BALANCE,
    STATIC,
    UNBATCHED,
    VERIFIED,
    families,
)
from loadgen.reproduce.route_balance.measured import Measured, Reference
from loadgen.reproduce.route_balance.prepare import prepare
from loadgen.reproduce.route_balance.rivals import Dispatch
from loadgen.reproduce.route_balance.sets import load_four
from loadgen.reproduce.study import StudyContext

RATES: Final = (6.0, 8.0, 10.0, 12.0, 18.0, 24.0, 30.0)
CALM: Final = Load(rate=12.0)
BUSY: Final = Load(rate=30.0)
SQUARE: Final = Load(rate=18.0, pattern=Pattern.SQUARE)
GAMMA: Final = Load(rate=18.0, pattern=Pattern.GAMMA)

SERIAL: Final = Load(rate=30.0, serial_seconds=1 / 21.8)
"""BEST-Route as published scores one request after the other and gets 21.8 of them per second through."""

BEST_ROUTE_PUBLISHED: Final = Rival(choice=Choice.BEST_ROUTE, dispatch=Dispatch.SHORTEST_QUEUE, value=0.5)
AVENGERS_PUBLISHED: Final = Rival(choice=Choice.AVENGERS, dispatch=Dispatch.SHORTEST_QUEUE, value=0.8)
"""The settings of the paper's headlines."""

ISOLATION: Final = (FULL, STATIC, NO_LATENCY, UNBATCHED, NOT_LONGEST_FIRST)
ISOLATION_LOADS: Final = (CALM, Load(rate=18.0), Load(rate=24.0), BUSY, SQUARE)

REFERENCE_SECONDS: Final = 10.0
PATIENT_SECONDS: Final = 30.0
"""Latencies of the hypervolume's reference points; the price is that of asking the largest model alone, the quality 0.

The second one counts answers that take longer; findings are by the first.
"""

PAPER_REQUESTS: Final = 3534
"""Requests of each of the paper's cells."""

_REQUESTS: Final = 1200
_QUICK_REQUESTS: Final = 200
_PROFILED: Final = 600
_QUICK_PROFILED: Final = 150
_PLANNED_PER_TASK: Final = 2
_OTHERS_PER_TASK: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """One set, swept.

    Attributes:
        bench: What the arms shared.
        families: What was swept, by label.
        found: What was measured, on the seed of the study alone.
        reference: Of the hypervolume.
    """

    bench: Bench
    families: Mapping[str, tuple[Arm, ...]]
    found: Measured
    reference: Reference

    @property
    def name(self) -> str:
        """Name of the set."""
        return self.bench.questions.name

    @property
    def patient(self) -> Reference:
        """The reference that counts answers that take longer."""
        return replace(self.reference, seconds=PATIENT_SECONDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """Single settings over all loads, on the study's first set.

    Attributes:
        arms: By label: those of the sweeps with the quality nearest to RouteBalance's with uniform weights at 12
            requests per second, and the random one.
        found: What was measured, on the seed of the study alone.
        isolation: The isolation's arms, on several seeds.
        serial: BEST-Route behind a serial scorer, and RouteBalance, by number of requests.
        long: RouteBalance, BEST-Route and random dispatch at 30 requests per second, in a run as long as the paper's.
    """

    arms: Mapping[str, Arm]
    found: Measured
    isolation: Measured
    serial: Mapping[int, tuple[Measured, Measured]]
    long: Measured


def sweep(context: StudyContext, name: str) -> Swept:
    """Run all families on one set at 12 and 30 requests per second."""
    questions = load_four(name, context.data, seed=context.seed)
    profiled = _QUICK_PROFILED if context.is_quick else _PROFILED
    bench = prepare(questions, profiled=profiled, seed=context.seed)
    swept = families(is_quick=context.is_quick)
    arms = [arm for family in swept.values() for arm in family]
    arms += [ALWAYS_LARGEST, BEST_ROUTE_PUBLISHED, AVENGERS_PUBLISHED]
    settings = [_setting(context, arm, load) for arm in arms for load in (CALM, BUSY)]
    cells = run_settings(context, bench, settings)
    found = _measured(cells, bench, context)
    usd = float(found.usd(ALWAYS_LARGEST, CALM)[0])
    reference = Reference(usd=usd, seconds=REFERENCE_SECONDS)
    return Swept(bench=bench, families=swept, found=found, reference=reference)


def compare(context: StudyContext, swept: Swept) -> Compared:
    """Run single settings of a swept set over all loads."""
    arms = _matched(swept)
    seeds = [context.seed] if context.is_quick else [context.seed, context.seed + 1, context.seed + 2]
    loads = [*(Load(rate=rate) for rate in RATES), SQUARE, GAMMA]
    single = [FULL, BEST_ROUTE_PUBLISHED, AVENGERS_PUBLISHED, *arms.values()]
    settings = [_setting(context, arm, load) for arm in single for load in loads]
    isolation = [
        _setting(context, arm, load, seed) for arm in ISOLATION for load in ISOLATION_LOADS for seed in seeds
    ]
    whole = 2 * _QUICK_REQUESTS if context.is_quick else PAPER_REQUESTS
    serial = {
        size: (
            _setting(context, BEST_ROUTE_PUBLISHED, SERIAL, requests=size),
            _setting(context, FULL, BUSY, requests=size),
        )
        for size in (whole // 2, whole)
    }
    long = [_setting(context, arm, BUSY, requests=whole) for arm in (FULL, arms[BEST_ROUTE_SQ], arms[RANDOM])]
    wanted = [*settings, *isolation, *long, *(setting for pair in serial.values() for setting in pair)]
    cells = run_settings(context, swept.bench, wanted)

    def measured(chosen: Sequence[Setting]) -> Measured:
        return _measured({setting: cells[setting] for setting in chosen}, swept.bench, context)

    return Compared(
        arms=arms,
        found=measured(settings),
        isolation=measured(isolation),
        long=measured(long),
        serial={size: (measured([first]), measured([second])) for size, (first, second) in serial.items()},
    )


def run_settings(context: StudyContext, bench: Bench, settings: Sequence[Setting]) -> dict[Setting, Cell]:
    """Run settings, each once, in the context's pool."""
    once = list(dict.fromkeys(settings))
    # The production router takes several times as long per request: its settings go first, a few at a time.
    planned = [setting for setting in once if isinstance(setting.arm, Planned | Scored)]
    others = [setting for setting in once if not isinstance(setting.arm, Planned | Scored)]
    chunks = [*_chunks(planned, _PLANNED_PER_TASK), *_chunks(others, _OTHERS_PER_TASK)]
    results = context.run_all(run_cells, [Task(bench=bench, cells=tuple(chunk)) for chunk in chunks])
    return {
        setting: cell
        for chunk, cells in zip(chunks, results, strict=True)
        for setting, cell in zip(chunk, cells, strict=True)
    }


def _chunks(settings: Sequence[Setting], size: int) -> list[Sequence[Setting]]:
    return [settings[start : start + size] for start in range(0, len(settings), size)]


def _matched(swept: Swept) -> dict[str, Arm]:
    """Of each family the point with the quality nearest to RouteBalance's with uniform weights."""
    found = swept.found
    goal = found.quality(FULL, CALM)[0]

    def nearest(label: str) -> Arm:
        return min(swept.families[label], key=lambda arm: abs(found.quality(arm, CALM)[0] - goal))

    labels = (ONE_ATTEMPT, VERIFIED, BEST_ROUTE_SQ, BEST_ROUTE_RR, AVENGERS_SQ, AVENGERS_RR)
    return {ROUTE_BALANCE: FULL, **{label: nearest(label) for label in labels}, RANDOM: RANDOM_ARM}


def route_balance_arms(swept: Swept) -> tuple[Arm, ...]:
    """RouteBalance in both readings of quality: the comparison that favours it most."""
    return (*swept.families[ROUTE_BALANCE], *swept.families[MIN_MAX])


PUBLISHED: Final = (ROUTE_BALANCE, MIN_MAX, BEST_ROUTE_SQ, BEST_ROUTE_RR, AVENGERS_SQ, AVENGERS_RR)
"""Families that the paper has."""


def rival_arms(swept: Swept) -> tuple[Arm, ...]:
    """All published points together."""
    return tuple(arm for label in PUBLISHED for arm in swept.families[label])


def _requests(context: StudyContext) -> int:
    return _QUICK_REQUESTS if context.is_quick else _REQUESTS


def _setting(
    context: StudyContext, arm: Arm, load: Load, seed: int | None = None, *, requests: int | None = None
) -> Setting:
    return Setting(
        arm=arm,
        load=load,
        requests=_requests(context) if requests is None else requests,
        seed=context.seed if seed is None else seed,
    )


def _measured(cells: Mapping[Setting, Cell], bench: Bench, context: StudyContext) -> Measured:
    return Measured(cells, questions=len(bench.questions.held_out), seed=context.seed)


def spread_over_seeds(found: Measured, arm: Arm, load: Load) -> float:
    """Largest deviation of one seed's mean latency from the mean over seeds, as a share; 0 for one seed."""
    means = np.array(
        [
            cell.seconds.mean()
            for setting, cell in found.cells.items()
            if (setting.arm, setting.load) == (arm, load)
        ]
    )
    return float(np.abs(means / means.mean() - 1.0).max())
