"""What `python -m loadgen ttca` does."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path

import uvloop
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from loadgen.data import data_folder
from loadgen.questions.catalog import load_questions
from loadgen.questions.question import QuestionSet
from loadgen.ttca.report import as_document, plot, show
from loadgen.ttca.run import run_study
from loadgen.ttca.study import MOST_OUTPUT_TOKENS, Study, StudyResult, without_loops


def compare_policies(study: Study, out: Path, environ: Mapping[str, str], console: Console) -> StudyResult:
    """Run a study, print its tables and write `summary.json` and, with matplotlib, `frontiers.png`.

    Args:
        study: What to run.
        out: Folder for the figures; logs go into `run` below it.
        environ: May name the data folder.
        console: Where to print.

    Raises:
        ValueError: The study or its set of questions makes no sense.
        FileNotFoundError: The data folder that was asked for is not there.
        StackError: A part of the system did not start, or died.
    """
    began = time.monotonic()
    study.check()
    whole = load_questions(study.questions, data_folder(environ), seed=study.seed)
    questions = without_loops(whole)
    console.print(_origin(questions, left_out=_size(whole) - _size(questions)), highlight=False)
    points = sum(len(study.points(load)) for load in study.rates)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("starting Envoy, the service and the simulated fleet", total=points + 2)
        begun = 0

        def on_point(what: str) -> None:
            nonlocal begun
            progress.update(task, description=what, completed=begun)
            begun += 1

        found = uvloop.run(run_study(study, questions, out / "run", on_point=on_point))
        progress.update(task, completed=points + 2)
    result = StudyResult(
        study=study,
        is_recorded=questions.is_recorded,
        points=found,
        real_seconds=time.monotonic() - began,
    )
    show(result, console)
    _write(result, out, console)
    console.print(f"took {result.real_seconds / 60:.1f} minutes", highlight=False)
    return result


def _size(questions: QuestionSet) -> int:
    return len(questions.training) + len(questions.held_out)


def _origin(questions: QuestionSet, *, left_out: int) -> str:
    origin = "recorded answers" if questions.is_recorded else "generated, since there is no data folder"
    return (
        f"{questions.name} ({origin}): {len(questions.training)} questions to learn from, "
        f"{len(questions.held_out)} to ask, {left_out} left out for answers of more than {MOST_OUTPUT_TOKENS} tokens"
    )


def _write(result: StudyResult, out: Path, console: Console) -> None:
    out.mkdir(parents=True, exist_ok=True)
    figures, picture = out / "summary.json", out / "frontiers.png"
    figures.write_text(json.dumps(as_document(result), indent=1) + "\n", encoding="utf-8")
    console.print(f"figures: {figures}", highlight=False)
    try:
        plot(result, picture)
    except ModuleNotFoundError:
        console.print("no plot: matplotlib is not installed (extra `report`)", highlight=False)
    else:
        console.print(f"plot: {picture}", highlight=False)
