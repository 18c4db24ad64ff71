"""What a study hands to the report: findings with verdicts, tables and charts; plain data that crosses processes."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from loadgen.virtual.summary import Figure


class Verdict(StrEnum):
    """What became of a published figure or of a claim of ours."""

    HOLDS = "holds"
    CONDITIONAL = "holds with conditions"
    FAILS = "does not hold"
    NOT_REPRODUCED = "not reproduced"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One headline, published or ours, and what came out here.

    Attributes:
        key: Name in `summary.json`, unique within the study: words joined by underscores.
        claim: What is claimed, in one sentence.
        published: The published value with its unit, as text; empty for a claim of our own.
        ours: What was measured, with its interval; None when it was not reproduced.
        unit: Unit of `ours`, such as `%`, `s` or `x`; empty for a plain ratio.
        verdict: What became of the claim.
        reason: Condition, or why it does not hold; what differs from the publication.
    """

    key: str
    claim: str
    published: str
    ours: Figure | None
    unit: str
    verdict: Verdict
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Figures in rows.

    Attributes:
        title: What it shows.
        columns: Headings; the first column is left-aligned, the others are right-aligned.
        rows: Cells as they are shown, one per column.
        note: How to read it; may be empty.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"{self.title}: a row has {len(row)} cells, expected {len(self.columns)}")


class Mark(StrEnum):
    """How a series is drawn."""

    LINE = "line"
    POINTS = "points"
    BARS = "bars"


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One series of a chart.

    Attributes:
        label: Name in the legend; equal labels have equal colours in every chart of a report.
        x: Positions, or names of categories for bars.
        y: Values, one per position.
        low, high: Interval of each value; empty for none.
        mark: How it is drawn.
    """

    label: str
    x: tuple[float, ...] | tuple[str, ...]
    y: tuple[float, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    mark: Mark = Mark.LINE


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A picture as data.

    Attributes:
        title: What it shows, as a statement where there is one.
        x_label, y_label: Quantity and unit of each axis.
        series: What is drawn.
        note: How to read it; may be empty.
        x_is_log, y_is_log: True for logarithmic axes.
        reference: Height of a line to hold series against, such as 1 for ratios; None for none. Bars have none.
    """

    title: str
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    note: str = ""
    x_is_log: bool = False
    y_is_log: bool = False
    reference: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyReport:
    """What came of a study.

    Attributes:
        key: The study's key.
        title: Its title.
        setting: What was run, in a few sentences: fleet, load, data, what differs from the publication.
        findings: Headlines.
        tables: Figures in full.
        charts: Pictures.
        is_recorded: False when generators stood in for the recorded data.
        seconds: How long it took, filled in by the runner.
    """

    key: str
    title: str
    setting: str
    findings: tuple[Finding, ...]
    tables: tuple[Table, ...] = field(default=())
    charts: tuple[Chart, ...] = field(default=())
    is_recorded: bool = True
    seconds: float = 0.0
