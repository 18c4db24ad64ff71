"""What `ttca fit` and `ttca eval` do: fit a quality model to outcomes, or hold estimators against published ones."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TimeElapsedColumn

from extproc.fit.data_sets import by_data_set
from extproc.fit.engine import STEPS, fit_from_tables
from extproc.fit.evaluate import average_value, calibration_after_failures, mean_ahead
from extproc.fit.fitting import FitSettings, fit_model
from extproc.fit.parallel import run_all, tasks
from extproc.fit.plots import draw_calibration
from extproc.fit.published import SOURCES, VARIABLE, data_folder, load
from extproc.fit.report import place, render, summary
from extproc.fit.timing import measure
from extproc.fit.told import tell
from extproc.fit.trials import OURS

DEFAULT_FOLDER: Final = Path(__file__).resolve().parents[3] / "shared" / "data"

_TIMED_TEXT: Final = (
    "Describe the route that a letter takes from the sender, to the 12 receivers (in steps)? "
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalOptions:
    """What `evaluate` is to do.

    Attributes:
        seed: Of decompositions and bootstrap samples.
        samples: Bootstrap samples.
        out: Folder for figures.
        document: Markdown file that gets the tables.
        processes: Trials at once.
    """

    seed: int
    samples: int
    out: Path
    document: Path
    processes: int


def fit(sources: Sequence[str], out: Path, seed: int, console: Console) -> int:
    """Fit a model to outcomes and write it; the exit status is 1 when the outcomes are no good."""
    try:
        # Transient: what is said afterwards stands alone, not below a bar that stopped half-way.
        with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
            task = progress.add_task("", total=STEPS)

            def advance(what: str) -> None:
                progress.update(task, description=what, advance=1)

            fitted = fit_from_tables(
                sources,
                out,
                folder=data_folder(os.environ, DEFAULT_FOLDER),
                settings=FitSettings(seed=seed),
                advance=advance,
            )
    except (ValueError, OSError) as error:
        console.print(str(error), style="red", highlight=False, markup=False, soft_wrap=True)
        return 1
    console.print(tell(fitted, out), highlight=False, markup=False, soft_wrap=True)
    return 0


def evaluate(options: EvalOptions, console: Console) -> int:
    """Hold estimators against published outcomes; the exit status is 1 when these are not there."""
    folder = data_folder(os.environ, DEFAULT_FOLDER)
    if folder is None:
        console.print(
            f"No published outcomes: set {VARIABLE} to their folder. They are made from:", highlight=False
        )
        for name, where in SOURCES.items():
            console.print(f"  {name:20} {where}", highlight=False)
        return 1
    try:
        result = figures(folder, options, console)
    except (ValueError, OSError) as error:
        console.print(str(error), style="red", highlight=False, markup=False, soft_wrap=True)
        return 1
    options.out.mkdir(parents=True, exist_ok=True)
    lengths = {"seed": options.seed, "lengths": result["lengths"]}
    for name, content in (("quality", result), ("quality-by-length", lengths)):
        path = options.out / f"{name}.json"
        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    is_drawn = draw_calibration(result["calibration"], options.out / "quality-calibration.svg")  # type: ignore[arg-type]
    document = options.document.read_text(encoding="utf-8") if options.document.exists() else ""
    options.document.parent.mkdir(parents=True, exist_ok=True)
    options.document.write_text(place(render(result), document), encoding="utf-8")
    drawn = "" if is_drawn else " No plot: matplotlib is not installed (extra `report`)."
    console.print(f"Wrote {options.out}/quality.json and {options.document}.{drawn}", highlight=False)
    Console().print(summary(result), highlight=False, markup=False)
    return 0


def figures(folder: Path, options: EvalOptions, console: Console) -> dict[str, object]:
    """Run every trial; the result is JSON-able."""
    started = time.monotonic()
    columns = (SpinnerColumn(), *Progress.get_default_columns(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("trials", total=len(tasks()) + 1)

        def advance(title: str) -> None:
            progress.update(bar, description=title, advance=1)
            if not console.is_terminal:
                seconds = time.monotonic() - started
                console.print(f"{seconds:6.0f} s  {title}", highlight=False, markup=False)

        results = run_all(
            folder,
            options.seed,
            options.samples,
            processes=options.processes,
            advance=advance,
        )
    model = fit_model(load("zeroeval_gsm", folder)).model
    return {
        "seed": options.seed,
        "samples": options.samples,
        "inside": results.inside,
        "across": results.across,
        "inside_ahead": mean_ahead(results.inside),
        "inside_ahead_of_best": mean_ahead(results.inside, by_hindsight=True),
        "by_data_set": by_data_set(results.inside, results.inside_again),
        "across_mean": average_value(results.across, lambda each: bool(each["by_part"])),
        "calibration": calibration_after_failures(results.trials),
        "lengths": results.lengths,
        "timing": measure(model, _TIMED_TEXT),
        "estimator": OURS,
        "processes": options.processes,
        "seconds": round(time.monotonic() - started, 1),
    }
