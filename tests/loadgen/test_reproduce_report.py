"""The report of a reproduction: page, summary and markdown, from findings made by hand."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

from loadgen.reproduce.document import as_document, value_text
from loadgen.reproduce.findings import Chart, Finding, Mark, Series, StudyReport, Table, Verdict
from loadgen.reproduce.markdown import as_markdown
from loadgen.reproduce.page import as_page
from loadgen.reproduce.palette import assign_colours
from loadgen.reproduce.run import FailedStudy, Reproduction
from loadgen.virtual.summary import Figure


def finding(key: str, verdict: Verdict = Verdict.HOLDS, ours: Figure | None = None) -> Finding:
    return Finding(
        key=key, claim=f"Claim <{key}>", published="31 %", ours=ours, unit="%", verdict=verdict, reason="Why."
    )


def line(label: str, *, mark: Mark = Mark.LINE) -> Series:
    return Series(label=label, x=(1.0, 2.0), y=(3.0, 4.0), low=(2.0, 3.0), high=(4.0, 5.0), mark=mark)


def bars(label: str) -> Series:
    return Series(label=label, x=("LAAR", "plan"), y=(1.0, 2.0), mark=Mark.BARS)


def chart(*series: Series, title: str = "A chart") -> Chart:
    return Chart(title=title, x_label="load", y_label="seconds", series=series)


def report(
    key: str = "laar", *, charts: tuple[Chart, ...] = (), findings: tuple[Finding, ...] = ()
) -> StudyReport:
    return StudyReport(
        key=key,
        title=f"Study of {key}",
        setting="Five models.",
        findings=findings or (finding("gain", ours=Figure(25.0, 20.0, 30.0)),),
        tables=(Table(title="Times", columns=("arm", "s"), rows=(("a|b", "1.0"),)),),
        charts=charts,
    )


def found(*reports: StudyReport, failed: tuple[FailedStudy, ...] = ()) -> Reproduction:
    return Reproduction(reports=reports, failed=failed, seed=7, is_quick=True, is_recorded=True, seconds=65.0)


class _Reader(HTMLParser):
    """Collects tags' attributes and complains about what stays open."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        of = dict(attrs)
        self.ids += [of["id"] or ""] if "id" in of else []
        self.addresses += [value or "" for name, value in attrs if name in {"src", "href", "xlink:href"}]
        if tag not in {"meta", "br"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert tag == self.open.pop()


def test_summary_names_command_and_seed_of_every_finding() -> None:
    """A finding in the summary says by which command and seed it is found again."""
    document = as_document(found(report(), report("pools")))
    assert [
        {
            "study": key,
            "key": "gain",
            "claim": "Claim <gain>",
            "published": "31 %",
            "ours": 25.0,
            "interval": [20.0, 30.0],
            "unit": "%",
            "verdict": "holds",
            "reason": "Why.",
            "command": f"python -m loadgen reproduce --studies {key} --quick --seed 7",
            "seed": 7,
        }
        for key in ("laar", "pools")
    ] == document["findings"]


def test_summary_has_no_number_where_none_was_measured() -> None:
    """What was not reproduced, or is not finite, is null and not zero."""
    infinite = Figure(float("inf"), 1.0, float("nan"))
    document = as_document(
        found(report(findings=(finding("a", Verdict.NOT_REPRODUCED), finding("b", ours=infinite))))
    )
    assert [(None, None), (None, [1.0, None])] == [
        (one["ours"], one["interval"]) for one in document["findings"]
    ]


def test_values_show_three_digits_unit_and_interval() -> None:
    """A value is written with its unit and, where it has one, its interval."""
    assert "1,235 % [0.012, 12.3]" == value_text(finding("a", ours=Figure(1234.6, 0.0123, 12.34)))
    assert "0.50 %" == value_text(finding("a", ours=Figure(0.5, 0.5, 0.5)))


def test_page_is_whole_and_loads_nothing() -> None:
    """Every tag is closed, every id stands once, and no address leads outside of the page."""
    first = report(charts=(chart(line("plan"), line("LAAR")), chart(bars("en"), bars("zh"), title='"<b>"')))
    page = as_page(found(first, report("pools", charts=(chart(line("plan", mark=Mark.POINTS)),))))
    reader = _Reader()
    reader.feed(page)
    assert [] == reader.open
    assert len(reader.ids) == len(set(reader.ids))
    assert [] == [address for address in reader.addresses if not address.startswith("#")]
    assert {address[1:] for address in reader.addresses} <= set(reader.ids)


def test_page_escapes_and_lists_failures_and_what_is_missing() -> None:
    """Claims are text, a failed study is named with its error, and unreproduced figures have a list of their own."""
    one = report(findings=(finding("lost", Verdict.NOT_REPRODUCED),))
    failed = FailedStudy(key="pools", title="Pools", error="ValueError: <x>")
    page = as_page(found(one, failed=(failed,)))
    assert "Claim &lt;lost&gt;" in page
    assert "ValueError: &lt;x&gt;" in page
    assert re.search(r"<h3>Not reproduced</h3><ul>\s*<li>Study of laar: Claim", page)


def test_long_reasons_are_folded() -> None:
    """A long reason is there, but opens only when asked for; a short one is plain to see."""
    long = replace(finding("a"), reason="Because. " * 30)
    page = as_page(found(report(findings=(long, finding("b")))))
    assert '<details class="reason"><summary>why</summary>Because.' in page
    assert '<div class="reason">Why.</div>' in page


def test_pictures_take_their_colours_from_the_page() -> None:
    """No fixed colour is left in a picture, so that it can be read on black and on white."""
    page = as_page(found(report(charts=(chart(line("plan"), line("LAAR")), chart(bars("plan"))))))
    pictures = re.findall(r"<svg .*?</svg>", page, re.DOTALL)
    assert 2 == len(pictures)
    for picture in pictures:
        assert set() == set(re.findall(r"#[0-9a-f]{6}", picture))
        assert "var(--ink)" in picture
    assert "var(--c0)" in pictures[0]


def test_labels_keep_their_colour_across_charts() -> None:
    """One label, one colour in the whole report; ours is the first; in a chart no two labels share one."""
    wide = chart(*(line(f"arm {number}") for number in range(10)), line("fused plan"))
    colours = assign_colours(
        [report(charts=(chart(line("LAAR"), line("plan")), wide)), report(charts=(chart(line("LAAR")), wide))]
    )
    assert 0 == colours["plan"] == colours["fused plan"]
    assert 0 not in [index for label, index in colours.items() if "plan" not in label]
    assert 10 == len({colours[f"arm {number}"] for number in range(10)})


def test_markdown_holds_the_tables() -> None:
    """The document has the summary, each study with its command, and its tables with bars escaped."""
    text = as_markdown(found(report()))
    assert "| laar | Claim <gain> | 31 % | 25.0 % [20.0, 30.0] | holds |" in text
    assert "`python -m loadgen reproduce --studies laar --quick --seed 7`" in text
    assert "| arm | s |\n| --- | ---: |\n| a\\|b | 1.0 |" in text
