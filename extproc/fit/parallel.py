"""Runs every trial of the evaluation, one per process at a time, the longest first."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from extproc.fit.evaluate import judge
from extproc.fit.fleets import FLEETS
from extproc.fit.lengths import judge_lengths
from extproc.fit.trials import Trial, across, inside

OTHER_SPLITS: Final = 2
"""Further ways in which questions are parted into folds: how much of a figure is owed to the one that the tables show."""

_LENGTHS: Final = "lengths"
_LARGE: Final = ("mmlu_pro", "routellm_mmlu", "ulab_llmrouter")


@dataclass(frozen=True, slots=True)
class Task:
    """One trial.

    Attributes:
        fleet: Index in `FLEETS`.
        data: Set that is split by question; None to leave out one whole set or task at a time.
        split: Which way the questions are parted; 0 for the one that the tables show.
    """

    fleet: int
    data: str | None
    split: int = 0

    @property
    def title(self) -> str:
        """What to show while it runs."""
        fleet = FLEETS[self.fleet]
        again = f", split {self.split}" if self.split else ""
        return f"{self.data or 'left out'}: {fleet.name}{again}"

    @property
    def weight(self) -> int:
        """Rough size: large tables, many models and many parts come first."""
        fleet = FLEETS[self.fleet]
        sets = fleet.across if self.data is None else (self.data,)
        large = sum(name in _LARGE for name in sets)
        return (1 + 20 * large) * len(fleet.costs) * (3 if self.data is None else 1)


@dataclass(frozen=True, slots=True)
class Results:
    """All that the trials gave.

    Attributes:
        trials: The trials inside, in the order of `FLEETS`.
        inside, across: What `judge` says of each, in the same order.
        inside_again: What it says of those inside with the questions parted in other ways, `OTHER_SPLITS` lists like `inside`.
        lengths: What `judge_lengths` says.
    """

    trials: list[Trial]
    inside: list[dict[str, object]]
    across: list[dict[str, object]]
    inside_again: list[list[dict[str, object]]]
    lengths: list[dict[str, object]]


def tasks() -> list[Task]:
    """Every trial, in the order of the tables."""
    return [
        *(
            Task(index, data, split)
            for split in range(1 + OTHER_SPLITS)
            for index, fleet in enumerate(FLEETS)
            for data in fleet.inside
        ),
        *(Task(index, None) for index, fleet in enumerate(FLEETS) if fleet.across),
    ]


def run_all(
    folder: Path, seed: int, samples: int, *, processes: int, advance: Callable[[str], None]
) -> Results:
    """Run all trials.

    Args:
        folder: Published data.
        seed: Of bootstrap samples.
        samples: How many of them.
        processes: How many trials run at once; each computes on one thread.
        advance: Called with the title of each trial as it ends, and once for the lengths.
    """
    ordered = sorted(tasks(), key=lambda task: -task.weight)
    done: dict[Task, tuple[Trial, dict[str, object]]] = {}
    # Spawned, not forked: numeric libraries hold threads and locks that do not survive a fork.
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        running = {pool.submit(run_one, task, folder, seed, samples): task for task in ordered}
        measured = pool.submit(judge_lengths, folder, seed)
        for future in as_completed(running):
            done[running[future]] = future.result()
            advance(running[future].title)
        lengths = measured.result()
        advance(_LENGTHS)
    inner = [
        [done[task] for task in tasks() if task.data is not None and task.split == split]
        for split in range(1 + OTHER_SPLITS)
    ]
    outer = [done[task] for task in tasks() if task.data is None]
    return Results(
        trials=[trial for trial, _ in inner[0]],
        inside=[judged for _, judged in inner[0]],
        across=[judged for _, judged in outer],
        inside_again=[[judged for _, judged in each] for each in inner[1:]],
        lengths=lengths,
    )


def run_one(task: Task, folder: Path, seed: int, samples: int) -> tuple[Trial, dict[str, object]]:
    """Run one trial and judge it."""
    fleet = FLEETS[task.fleet]
    trial = across(fleet, folder) if task.data is None else inside(fleet, task.data, folder, task.split)
    return trial, judge(trial, seed, samples)
