"""`python -m loadgen.batching`: run the study, print the table, write figures and the page."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from loadgen.batching.gates import RULES
from loadgen.batching.report import document, page, table
from loadgen.batching.study import SCENARIOS, run_study
from loadgen.data import data_folder
from loadgen.questions.catalog import load_questions
from loadgen.virtual.arms import Workbench

_SEED = 1


def study(
    requests: Annotated[int, typer.Option(min=20, help="Requests of each run.")] = 1000,
    seeds: Annotated[int, typer.Option(min=2, max=15, help="Seeds of each scenario.")] = 6,
    processes: Annotated[int, typer.Option(min=1, help="Runs at once.")] = 2,
    out: Annotated[Path, typer.Option(help="Folder for the figures.")] = Path("out/batching"),
    doc: Annotated[Path, typer.Option(help="Page that gets the tables.")] = Path("docs/micro-batching.md"),
) -> None:
    """Say whether it pays to collect requests in a window and decide on the longest first."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=170)
    try:
        questions = load_questions("zeroeval", data_folder(os.environ), seed=_SEED)
    except FileNotFoundError as error:
        console.print(str(error), style="red")
        raise typer.Exit(2) from error
    kind = "recorded" if questions.is_recorded else "generated"
    console.print(f"questions: {len(questions.held_out)} to ask ({kind})", highlight=False)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("simulating", total=len(SCENARIOS) * len(RULES) * seeds)
        rows = run_study(
            Workbench(questions),
            SCENARIOS,
            requests=requests,
            seeds=seeds,
            processes=processes,
            on_run=lambda: progress.advance(task),
        )
    console.print(table(rows))
    out.mkdir(parents=True, exist_ok=True)
    figures = document(rows, is_recorded=questions.is_recorded, requests=requests, seeds=seeds)
    (out / "summary.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    doc.write_text(
        page(rows, is_recorded=questions.is_recorded, requests=requests, seeds=seeds), encoding="utf-8"
    )
    console.print(f"figures: {out / 'summary.json'}, page: {doc}", highlight=False)


if __name__ == "__main__":
    typer.run(study)
