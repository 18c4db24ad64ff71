"""The tables of a reproduction as markdown: `docs/reproduction.md`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from loadgen.reproduce.document import value_text
from loadgen.reproduce.findings import StudyReport, Table
from loadgen.reproduce.run import Reproduction
from loadgen.reproduce.sources import SOURCES

_INTRODUCTION = """\
# Reproduction

Written by `python -m loadgen reproduce --doc docs/reproduction.md`; do not edit. `make reproduce` runs the studies and writes
`out/reproduce/report.html`, with pictures, and `summary.json`; `make reproduce-quick` does the same with few and short scenarios.
"""

_READING = """\
Square brackets are 95 % intervals. A verdict is about the claim as published: *holds*, *holds with conditions*, *does not hold*, or
*not reproduced*, each with its reason.
"""


def as_markdown(found: Reproduction) -> str:
    """The document."""
    return "\n".join(_lines(found)).rstrip() + "\n"


def _lines(found: Reproduction) -> Iterator[str]:
    yield _INTRODUCTION
    size = "quick" if found.is_quick else "full"
    yield f"This run: {size}, seed {found.seed}, {found.seconds / 60:.0f} minutes, {_origin(found)}.\n"
    yield _READING
    yield "## Summary\n"
    rows = [
        (report.key, finding.claim, finding.published or "-", value_text(finding), str(finding.verdict))
        for report in found.reports
        for finding in report.findings
    ]
    yield from _table(("study", "claim", "published", "ours", "verdict"), rows, left=(0, 1, 2, 4))
    for failure in found.failed:
        yield f"**{failure.key} failed:** {failure.error}\n"
    for report in found.reports:
        yield from _study(found, report)
    if not found.is_recorded:
        yield "## Where the recorded data was published\n"
        yield from _table(
            ("what", "publisher", "licence"),
            [(source.what, source.publisher, source.licence) for source in SOURCES],
            left=(0, 1, 2),
        )


def _origin(found: Reproduction) -> str:
    return "recorded data" if found.is_recorded else "generators in place of recorded data"


def _study(found: Reproduction, report: StudyReport) -> Iterator[str]:
    yield f"## {report.title}\n"
    yield f"`{found.command(report.key)}`\n"
    yield f"{report.setting}\n"
    for finding in report.findings:
        reason = f" {finding.reason}" if finding.reason else ""
        yield f"* **{finding.verdict}**: {finding.claim} ({value_text(finding)}).{reason}"
    yield ""
    for table in report.tables:
        yield from _titled(table)


def _titled(table: Table) -> Iterator[str]:
    yield f"### {table.title}\n"
    yield from _table(table.columns, table.rows, left=(0,))
    if table.note:
        yield f"{table.note}\n"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, left: Sequence[int]) -> Iterator[str]:
    yield _row(columns)
    yield _row(["---" if index in left else "---:" for index in range(len(columns))])
    for row in rows:
        yield _row(row)
    yield ""


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|').replace(chr(10), ' ') for cell in cells)} |"
