"""The command `python -m loadgen decide-bench`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

MISUSED = 2


def decide_bench(
    questions: Annotated[str, typer.Option(help="Set of questions: zeroeval or mmlu_pro.")] = "zeroeval",
    quick: Annotated[bool, typer.Option(help="Fewer rounds and decisions, wider intervals.")] = False,
    seed: Annotated[int, typer.Option(help="Same seed, same requests, loads and resamples.")] = 1,
    out: Annotated[Path, typer.Option(help="Write the figures here, as JSON.")] = Path(
        "out/bench/decide.json"
    ),
) -> None:
    """Time decisions of the router's core by fleet size, policy and stage, against RouteBalance's published time."""
    import os

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from loadgen.data import data_folder
    from loadgen.decide_bench.measure import FULL, QUICK, measure
    from loadgen.decide_bench.report import show, summary
    from loadgen.decide_bench.stand import Workshop
    from loadgen.questions.catalog import load_questions
    from loadgen.replay import write_summary

    console = Console()
    if not console.is_terminal:
        console = Console(width=110)
    try:
        found = load_questions(questions, data_folder(os.environ), seed=seed)
    except (ValueError, FileNotFoundError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(MISUSED) from error
    console.print(
        f"{questions}: {'recorded' if found.is_recorded else 'generated'} questions", highlight=False
    )
    extent = QUICK if quick else FULL
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("deciding", total=extent.steps)
        measured = measure(Workshop(found, seed=seed), extent, on_step=lambda: progress.advance(task))
    document = summary(measured, extent, seed=seed, is_recorded=found.is_recorded)
    write_summary(document, out)
    show(document, console)
    console.print(f"figures: {out}", highlight=False)
