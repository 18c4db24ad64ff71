"""The report as one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from importlib.resources import files

from loadgen.reproduce.charts import draw
from loadgen.reproduce.document import value_text
from loadgen.reproduce.findings import Chart, Finding, StudyReport, Table, Verdict
from loadgen.reproduce.palette import DARK, LIGHT, assign_colours
from loadgen.reproduce.run import Reproduction
from loadgen.reproduce.sources import SOURCES

_CLASSES: Mapping[Verdict, str] = {
    Verdict.HOLDS: "v-holds",
    Verdict.CONDITIONAL: "v-conditional",
    Verdict.FAILS: "v-fails",
    Verdict.NOT_REPRODUCED: "v-missing",
}

_SHORT_REASON = 110
"""Longer reasons are folded."""


def as_page(found: Reproduction) -> str:
    """The whole page; without matplotlib it says so where pictures would be."""
    colours = assign_colours(found.reports)
    body = "\n".join(_body(found, colours))
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>ttca-router: reproduction</title>\n<style>\n{_style()}</style></head>\n"
        f"<body>\n{body}\n</body></html>\n"
    )


def _style() -> str:
    sheet = files("loadgen.reproduce").joinpath("page.css").read_text(encoding="utf-8")

    def variables(colours: tuple[str, ...]) -> str:
        return " ".join(f"--c{index}: {colour};" for index, colour in enumerate(colours))

    dark = f"@media (prefers-color-scheme: dark) {{ :root {{ {variables(DARK)} }} }}"
    return f":root {{ {variables(LIGHT)} }}\n{dark}\n{sheet}"


def _body(found: Reproduction, colours: Mapping[str, int]) -> Iterator[str]:
    size = "Quick run: few and short scenarios, wide intervals" if found.is_quick else "Full run"
    data = (
        "recorded data"
        if found.is_recorded
        else "generators fitted to recorded data, which is not on this machine"
    )
    yield "<h1>Three papers, reproduced</h1>"
    yield (
        f'<p class="dim">{size}, seed {found.seed}, {found.seconds / 60:.1f} minutes, {data}. Brackets and bands are '
        "95 % intervals. The router in these runs is the one that runs in production.</p>"
    )
    yield from _tally(found)
    yield "<nav><ul>"
    yield '<li><a href="#summary">Summary of all findings</a></li>'
    for report in found.reports:
        yield f'<li><a href="#{escape(report.key)}">{escape(report.title)}</a></li>'
    yield "</ul></nav>"
    yield from _summary(found)
    for report in found.reports:
        yield from _study(found, report, colours)
    if not found.is_recorded:
        yield from _sources()


def _tally(found: Reproduction) -> Iterator[str]:
    verdicts = [finding.verdict for report in found.reports for finding in report.findings]
    yield '<div class="tally">'
    for verdict, style in _CLASSES.items():
        yield f'<div><b class="{style}">{verdicts.count(verdict)}</b>{escape(verdict)}</div>'
    yield "</div>"


def _summary(found: Reproduction) -> Iterator[str]:
    yield '<h2 id="summary">Summary</h2>'
    for failure in found.failed:
        yield (
            f'<p><span class="verdict v-fails">failed</span> {escape(failure.title)}: <code>{escape(failure.error)}</code>'
            f"<br><code>{escape(found.command(failure.key))}</code></p>"
        )
    yield '<table class="claims"><thead><tr><th>study</th><th>claim</th><th>published</th><th>ours</th><th>verdict</th>'
    yield "</tr></thead><tbody>"
    for report in found.reports:
        for finding in report.findings:
            yield _claim(report, finding)
    yield "</tbody></table>"
    missing = [
        (report, finding)
        for report in found.reports
        for finding in report.findings
        if finding.verdict is Verdict.NOT_REPRODUCED
    ]
    if missing:
        yield "<h3>Not reproduced</h3><ul>"
        for report, finding in missing:
            yield f"<li>{escape(report.title)}: {escape(finding.claim)} {escape(finding.reason)}</li>"
        yield "</ul>"


def _claim(report: StudyReport, finding: Finding) -> str:
    published, ours = escape(finding.published), escape(value_text(finding)).replace(", ", ",&nbsp;")
    return (
        f'<tr><td><a href="#{escape(report.key)}">{escape(report.key)}</a></td>'
        f"<td>{escape(finding.claim)}{_reason(finding.reason)}</td>"
        f'<td class="value" data-name="published">{published}</td>'
        f'<td class="value" data-name="ours">{ours}</td>'
        f'<td><span class="verdict {_CLASSES[finding.verdict]}">{escape(finding.verdict)}</span></td></tr>'
    )


def _reason(reason: str) -> str:
    if len(reason) <= _SHORT_REASON:
        return f'<div class="reason">{escape(reason)}</div>' if reason else ""
    return f'<details class="reason"><summary>why</summary>{escape(reason)}</details>'


def _study(found: Reproduction, report: StudyReport, colours: Mapping[str, int]) -> Iterator[str]:
    yield f'<h2 id="{escape(report.key)}">{escape(report.title)}</h2>'
    stand_in = "" if report.is_recorded else " Generated data stood in for recorded data."
    yield f"<p>{escape(report.setting)}{stand_in}</p>"
    yield f'<p class="dim"><code>{escape(found.command(report.key))}</code> · {report.seconds:.0f} s</p>'
    yield '<div class="charts">'
    for number, chart in enumerate(report.charts):
        yield _figure(chart, colours, name=f"{report.key}-{number}", command=found.command(report.key))
    yield "</div>"
    for table in report.tables:
        yield from _table(table)


def _figure(chart: Chart, colours: Mapping[str, int], *, name: str, command: str) -> str:
    try:
        picture = draw(chart, colours, name=name)
    except ModuleNotFoundError:
        picture = "<p>No picture: matplotlib is not installed (extra <code>report</code>).</p>"
    note = escape(chart.note)
    return (
        f"<figure><strong>{escape(chart.title)}</strong>{picture}"
        f'<figcaption>{note}<span class="how"><code>{escape(command)}</code></span></figcaption></figure>'
    )


def _table(table: Table) -> Iterator[str]:
    yield f'<h3>{escape(table.title)}</h3><div class="scroll"><table class="figures"><thead><tr>'
    yield "".join(f"<th>{escape(column)}</th>" for column in table.columns)
    yield "</tr></thead><tbody>"
    for row in table.rows:
        yield f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>"
    yield "</tbody></table></div>"
    if table.note:
        yield f'<p class="dim">{escape(table.note)}</p>'


def _sources() -> Iterator[str]:
    yield "<h2>Where the recorded data was published</h2><ul>"
    for source in SOURCES:
        yield f"<li>{escape(source.what)}: {escape(source.publisher)} ({escape(source.licence)})</li>"
    yield "</ul>"
