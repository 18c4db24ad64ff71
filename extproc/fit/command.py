"""What `python -m extproc.fit` does: fits a quality model to outcome tables, or holds estimators against published ones."""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import Progress

from extproc.fit.engine import STEPS, fit_from_tables
from extproc.fit.evaluate import SAMPLES, average_value, calibration_after_failures, judge
from extproc.fit.fitting import FitSettings, fit_model
from extproc.fit.fleets import FLEETS
from extproc.fit.lengths import judge_lengths
from extproc.fit.plots import draw_calibration
from extproc.fit.published import SOURCES, VARIABLE, data_folder, load
from extproc.fit.report import place, render
from extproc.fit.timing import measure
from extproc.fit.trials import FOLDS, OURS, Trial, across, inside

DEFAULT_FOLDER: Final = Path(__file__).resolve().parents[3] / "shared" / "data"

_TIMED_TEXT: Final = (
    "Describe the route that a letter takes from the sender, to the 12 receivers (in steps)? "
)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command; exit status 1 when the data is not there or the tables are no good."""
    parser = argparse.ArgumentParser(prog="python -m extproc.fit", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    fitting = commands.add_parser("fit", help="fit a model to outcome tables")
    fitting.add_argument("sources", nargs="+", help="tables (JSON lines), or names of published ones")
    fitting.add_argument("--out", type=Path, required=True, help="model directory")
    fitting.add_argument("--seed", type=int, default=0)
    judging = commands.add_parser("eval", help="hold the estimators against published outcomes")
    judging.add_argument("--seed", type=int, default=0)
    judging.add_argument("--samples", type=int, default=SAMPLES, help="bootstrap samples")
    judging.add_argument("--out", type=Path, default=Path("out/eval"))
    judging.add_argument("--doc", type=Path, default=Path("docs/estimators.md"))
    options = parser.parse_args(arguments)
    console = Console(stderr=True)
    try:
        if options.command == "fit":
            _fit(options.sources, options.out, options.seed, console)
            return 0
        return _evaluate(options, console)
    except (ValueError, FileNotFoundError) as error:
        console.print(str(error), style="red", highlight=False, markup=False)
        return 1


def _fit(sources: Sequence[str], out: Path, seed: int, console: Console) -> None:
    with Progress(console=console) as progress:
        task = progress.add_task("", total=STEPS)

        def advance(what: str) -> None:
            progress.update(task, description=what, advance=1)

        fit_from_tables(
            sources,
            out,
            folder=data_folder(os.environ, DEFAULT_FOLDER),
            settings=FitSettings(seed=seed),
            advance=advance,
        )
    console.print(f"Wrote {out}.")


def _evaluate(options: argparse.Namespace, console: Console) -> int:
    folder = data_folder(os.environ, DEFAULT_FOLDER)
    if folder is None:
        console.print(
            f"No published outcomes: set {VARIABLE} to their folder. They are made from:", highlight=False
        )
        for name, where in SOURCES.items():
            console.print(f"  {name:20} {where}", highlight=False)
        return 1
    started = time.monotonic()
    result = evaluate(folder, options.seed, options.samples, console)
    result["seconds"] = round(time.monotonic() - started, 1)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "quality.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    is_drawn = draw_calibration(result["calibration"], options.out / "quality-calibration.svg")  # type: ignore[arg-type]
    document = options.doc.read_text(encoding="utf-8") if options.doc.exists() else ""
    options.doc.parent.mkdir(parents=True, exist_ok=True)
    options.doc.write_text(place(render(result), document), encoding="utf-8")
    drawn = "" if is_drawn else " No plot: matplotlib is not installed (extra `report`)."
    console.print(f"Wrote {options.out}/quality.json and {options.doc}.{drawn}")
    return 0


def evaluate(folder: Path, seed: int, samples: int, console: Console) -> dict[str, object]:
    """Run every trial; the result is JSON-able."""
    pairs = [(fleet, data) for fleet in FLEETS for data in fleet.inside]
    fleets = [fleet for fleet in FLEETS if fleet.across]
    with Progress(console=console) as progress:
        task = progress.add_task("inside", total=len(pairs) * FOLDS)
        within: list[Trial] = []
        for fleet, data in pairs:
            progress.update(task, description=f"{data}: {fleet.name}")
            within.append(inside(fleet, data, folder, lambda: progress.advance(task)))
        rest = progress.add_task("across", total=None)
        beyond: list[Trial] = []
        for fleet in fleets:
            progress.update(rest, description=f"left out: {fleet.name}")
            beyond.append(across(fleet, folder, lambda: progress.advance(rest)))
        progress.update(rest, total=1, completed=1)
        last = progress.add_task("bootstrap", total=len(within) + len(beyond))
        judged: list[dict[str, object]] = []
        for trial in (*within, *beyond):
            judged.append(judge(trial, seed, samples))
            progress.advance(last)
    model = fit_model(load("zeroeval_gsm", folder)).model
    return {
        "seed": seed,
        "samples": samples,
        "inside": judged[: len(within)],
        "across": judged[len(within) :],
        "across_mean": average_value(judged, lambda each: bool(each["by_part"])),
        "calibration": calibration_after_failures(within),
        "lengths": judge_lengths(folder, seed),
        "timing": measure(model, _TIMED_TEXT),
        "estimator": OURS,
    }
