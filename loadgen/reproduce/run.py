"""Runs studies one after the other; one that fails does not lose the others."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from loadgen.reproduce.findings import StudyReport
from loadgen.reproduce.study import Study, StudyContext


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedStudy:
    """A study that raised.

    Attributes:
        key: Its key.
        title: Its title.
        error: What it raised, in one line.
    """

    key: str
    title: str
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reproduction:
    """What came of a run.

    Attributes:
        reports: Of the studies that ended, in their order.
        failed: Those that did not.
        seed: Of everything random.
        is_quick: True for few and short scenarios.
        is_recorded: False when there was no data folder and generators stood in.
        seconds: How long everything took.
    """

    reports: tuple[StudyReport, ...]
    failed: tuple[FailedStudy, ...]
    seed: int
    is_quick: bool
    is_recorded: bool
    seconds: float

    def command(self, key: str) -> str:
        """What runs one of the studies again."""
        quick = " --quick" if self.is_quick else ""
        return f"python -m loadgen reproduce --studies {key}{quick} --seed {self.seed}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How studies are run.

    Attributes:
        seed: Of everything random.
        is_quick: True for few and short scenarios.
        processes: Scenarios that run side by side, at least 1.
        data: The data folder; None for generators.
    """

    seed: int
    is_quick: bool
    processes: int
    data: Path | None


def run_studies(studies: Sequence[Study], options: RunOptions, console: Console) -> Reproduction:
    """Run studies, showing how far each is; what fails is printed with its traceback and listed."""
    began = time.monotonic()
    reports: list[StudyReport] = []
    failed: list[FailedStudy] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        whole = progress.add_task("[bold]studies", total=len(studies))
        for study in studies:
            task = progress.add_task(study.key, total=None)
            cpu = _cpu_seconds()
            try:
                reports.append(_run(study, options, progress, task))
                took = f"{reports[-1].seconds:.0f} s, {_cpu_seconds() - cpu:.0f} s of CPU time"
                console.print(f"{study.key}: {took}", highlight=False)
            except Exception as error:  # noqa: BLE001 -- whatever a study raises, the others go on
                console.print_exception()
                reason = f"{type(error).__name__}: {error}"
                failed.append(FailedStudy(key=study.key, title=study.title, error=reason))
            progress.stop_task(task)
            progress.advance(whole)
    return Reproduction(
        reports=tuple(reports),
        failed=tuple(failed),
        seed=options.seed,
        is_quick=options.is_quick,
        is_recorded=options.data is not None,
        seconds=time.monotonic() - began,
    )


def _cpu_seconds() -> float:
    """CPU time of this process and of children that have ended; says on a busy machine what a quiet one would take."""
    return sum(os.times()[:4])


def _run(study: Study, options: RunOptions, progress: Progress, task: TaskID) -> StudyReport:
    began = time.monotonic()
    scenarios = 0

    def on_tasks(count: int) -> None:
        nonlocal scenarios
        scenarios += count
        progress.update(task, total=scenarios)

    # A pool of its own: a process that is killed breaks its pool for good.
    with ProcessPoolExecutor(options.processes, mp_context=get_context("spawn")) as pool:
        context = StudyContext(
            seed=options.seed,
            is_quick=options.is_quick,
            data=options.data,
            pool=pool,
            on_tasks=on_tasks,
            on_done=lambda: progress.advance(task),
        )
        try:
            report = study.run(context)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return replace(report, seconds=time.monotonic() - began)
