"""What `python -m loadgen simulate` does."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from loadgen.data import data_folder
from loadgen.questions.catalog import load_questions
from loadgen.virtual.arms import ARMS, Workbench
from loadgen.virtual.report import as_document, plot, show
from loadgen.virtual.scenario import Scenario, run_frontiers
from loadgen.virtual.summary import Summary

REQUESTS_PER_STEP = 100
"""Requests between two steps of the progress bar."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulateOptions:
    """What was asked for.

    Attributes:
        questions: Name of the set.
        arms: Keys of `ARMS`.
        knobs: Values of each arm's knob; all of its own if empty.
        scenario: What is simulated.
        processes: How many run at once.
        out: Folder for `summary.json` and `frontiers.png`.
    """

    questions: str
    arms: Sequence[str]
    knobs: Sequence[float]
    scenario: Scenario
    processes: int
    out: Path


def simulate(options: SimulateOptions, environ: Mapping[str, str], console: Console) -> None:
    """Simulate, print the tables and write the files; the plot is left out without matplotlib, and said so.

    Raises:
        ValueError: An arm or a set of questions is not known, or a figure makes no sense.
        FileNotFoundError: The data folder that was asked for is not there.
    """
    unknown = [arm for arm in options.arms if arm not in ARMS]
    if unknown or not options.arms:
        raise ValueError(f"no arm is called {', '.join(map(repr, unknown))}; there are {', '.join(ARMS)}")
    questions = load_questions(options.questions, data_folder(environ), seed=options.scenario.seed)
    console.print(
        f"{options.questions}: {len(questions.training)} questions to learn from, "
        f"{len(questions.held_out)} to ask ({'recorded' if questions.is_recorded else 'generated'})",
        highlight=False,
    )
    options.scenario.traffic(questions.held_out)
    bench = Workbench(questions)
    frontiers = _simulated(bench, options, console)
    show(frontiers, console)
    options.out.mkdir(parents=True, exist_ok=True)
    document = as_document(
        options.questions, is_recorded=questions.is_recorded, scenario=options.scenario, frontiers=frontiers
    )
    figures = options.out / "summary.json"
    figures.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    console.print(f"figures: {figures}", highlight=False)
    picture = options.out / "frontiers.png"
    try:
        plot(frontiers, options.scenario, picture)
    except ModuleNotFoundError:
        console.print("no plot: matplotlib is not installed (extra `report`)", highlight=False)
    else:
        console.print(f"plot: {picture}", highlight=False)


def _simulated(
    bench: Workbench, options: SimulateOptions, console: Console
) -> Mapping[str, tuple[Summary, ...]]:
    """Simulate, show how far it is (by requests in a process of our own, else by runs), and tell what it took."""
    runs = sum(len(options.knobs or ARMS[arm].values) for arm in options.arms)
    is_here = options.processes == 1
    ended = itertools.count(1)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    started, cpu_started = time.perf_counter(), time.process_time()
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("simulating", total=runs * options.scenario.requests if is_here else runs)

        def on_done() -> None:
            if next(ended) % REQUESTS_PER_STEP == 0:
                progress.advance(task, REQUESTS_PER_STEP)

        frontiers = run_frontiers(
            bench,
            options.scenario,
            options.arms,
            knobs=options.knobs,
            processes=options.processes,
            on_point=lambda: None if is_here else progress.advance(task),
            on_done=on_done,
        )
        progress.update(task, completed=progress.tasks[task].total)
    took, cpu = time.perf_counter() - started, time.process_time() - cpu_started
    requests = runs * options.scenario.requests
    of_cpu = f", {cpu:.1f} s of CPU, {1e3 * cpu / requests:.3f} ms per request" if is_here else ""
    console.print(
        f"{runs} runs of {options.scenario.requests:,} requests on {len(bench.questions.models)} x "
        f"{options.scenario.instances} instances: {took:.1f} s{of_cpu}",
        highlight=False,
    )
    return frontiers
