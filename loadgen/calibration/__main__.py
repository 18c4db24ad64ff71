"""`python -m loadgen.calibration`: fit, judge, and write the table into `docs/simulated-vllm.md`."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from loadgen.calibration.measured import closed_loop_points, recorded_runs, static_batch_points
from loadgen.calibration.studies import StudyResult, closed_loop_study, recorded_run_study, static_batch_study
from loadgen.calibration.table import to_markdown, write_between_markers
from loadgen.data import VARIABLE, data_folder

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "simulated-vllm.md"

LEAST_LOADS = 12
"""Fewest distinct load points of a closed-loop engine: half of them must carry four unknowns."""

Study = tuple[str, str, Callable[[], StudyResult]]


def studies(folder: Path) -> list[Study]:
    """Every study as (section, label, how to run it).

    Raises:
        FileNotFoundError: When the folder lacks a file.
    """
    recorded, closed, static = (
        "Recorded runs, request by request",
        "Closed loops, means per load",
        "Static batches",
    )
    return [
        *((recorded, run.label, partial(recorded_run_study, run)) for run in recorded_runs(folder)),
        *(
            (closed, label, partial(closed_loop_study, label, points))
            for label, points in closed_loop_points(folder, least=LEAST_LOADS).items()
        ),
        *(
            (static, label, partial(static_batch_study, label, points))
            for label, points in static_batch_points(folder).items()
        ),
    ]


def main(
    document: Annotated[Path, typer.Option(help="Markdown file with the calibration markers.")] = DOCUMENT,
) -> None:
    """Hold the simulated engine against measurements and write the table (about 20 s)."""
    console = Console()
    try:
        folder = data_folder(os.environ)
        if folder is None:
            raise FileNotFoundError("there is no ../shared/data beside the repository")  # noqa: TRY301
        planned = studies(folder)
    except FileNotFoundError as error:
        console.print(
            f"No measurements: {error}. Set {VARIABLE} to the data folder.", markup=False, soft_wrap=True
        )
        console.print("The fitted presets in loadgen/engine/presets.py need no data.")
        raise typer.Exit(2) from error
    sections: dict[str, list[StudyResult]] = {}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("fitting", total=len(planned))
        for title, label, run in planned:
            progress.update(task, description=label)
            sections.setdefault(title, []).append(run())
            progress.advance(task)
    write_between_markers(document, to_markdown(list(sections.items())))
    worst = max((result.errors.e2e, result.label) for results in sections.values() for result in results)
    console.print(
        f"wrote {len(planned)} engines to {document.name}; largest median E2E error {worst[0]:.1%} ({worst[1]})"
    )


if __name__ == "__main__":
    typer.run(main)
