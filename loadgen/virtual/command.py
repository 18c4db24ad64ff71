"""What `python -m loadgen simulate` does."""

from __future__ import annotations

import json
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


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulateOptions:
    """What was asked for.

    Attributes:
        questions: Name of the set.
        arms: Keys of `ARMS`.
        scenario: What is simulated.
        processes: How many run at once.
        out: Folder for `summary.json` and `frontiers.png`.
    """

    questions: str
    arms: Sequence[str]
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
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("simulating", total=sum(len(ARMS[arm].values) for arm in options.arms))
        frontiers = run_frontiers(
            bench,
            options.scenario,
            options.arms,
            processes=options.processes,
            on_point=lambda: progress.advance(task),
        )
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
