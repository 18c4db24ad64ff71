"""What `python -m loadgen reproduce` does."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table as Grid

from loadgen.data import data_folder
from loadgen.reproduce.catalog import choose
from loadgen.reproduce.document import as_document, value_text
from loadgen.reproduce.findings import Verdict
from loadgen.reproduce.markdown import as_markdown
from loadgen.reproduce.page import as_page
from loadgen.reproduce.run import Reproduction, RunOptions, run_studies
from loadgen.reproduce.sources import SOURCES

_STYLES: Mapping[Verdict, str] = {
    Verdict.HOLDS: "green",
    Verdict.CONDITIONAL: "yellow",
    Verdict.FAILS: "red",
    Verdict.NOT_REPRODUCED: "dim",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReproduceOptions:
    """What was asked for.

    Attributes:
        studies: Keys of studies; empty for all.
        is_quick: True for few and short scenarios.
        seed: Of everything random.
        processes: Scenarios that run side by side.
        out: Folder for `report.html` and `summary.json`.
        doc: File for the tables as markdown; None for none.
    """

    studies: Sequence[str]
    is_quick: bool
    seed: int
    processes: int
    out: Path
    doc: Path | None


def reproduce(options: ReproduceOptions, environ: Mapping[str, str], console: Console) -> Reproduction:
    """Run studies, print what became of their claims, and write the report.

    Raises:
        ValueError: No study has a key that was asked for.
        FileNotFoundError: The data folder that was asked for is not there.
    """
    studies = choose(options.studies)
    data = data_folder(environ)
    if data is None:
        console.print("generated data, since there is no data folder; the recorded data was published at:")
        for source in SOURCES:
            console.print(f"  {source.what}: {source.publisher} ({source.licence})", highlight=False)
    run = RunOptions(seed=options.seed, is_quick=options.is_quick, processes=options.processes, data=data)
    found = run_studies(studies, run, console)
    _show(found, console)
    options.out.mkdir(parents=True, exist_ok=True)
    summary, page = options.out / "summary.json", options.out / "report.html"
    summary.write_text(json.dumps(as_document(found), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    page.write_text(as_page(found), encoding="utf-8")
    console.print(f"figures: {summary}\nreport: {page}", highlight=False)
    if options.doc is not None:
        options.doc.write_text(as_markdown(found), encoding="utf-8")
        console.print(f"tables: {options.doc}", highlight=False)
    console.print(f"took {found.seconds / 60:.1f} minutes", highlight=False)
    return found


def _show(found: Reproduction, console: Console) -> None:
    grid = Grid(title="what became of the claims")
    for heading in ("study", "claim", "published", "ours", "verdict"):
        grid.add_column(heading)
    for report in found.reports:
        for finding in report.findings:
            verdict = f"[{_STYLES[finding.verdict]}]{finding.verdict}[/]"
            grid.add_row(report.key, finding.claim, finding.published, value_text(finding), verdict)
        grid.add_section()
    for failure in found.failed:
        grid.add_row(failure.key, f"failed: {failure.error}", "", "", "[red]failed[/]")
    console.print(grid)
