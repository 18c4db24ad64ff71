"""One colour per label over a whole report, light and dark."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from loadgen.reproduce.findings import Chart, StudyReport

LIGHT = (
    "#0b62d6",
    "#c8374c",
    "#1f8a43",
    "#b96b00",
    "#7443c6",
    "#0d8387",
    "#80622f",
    "#b8338f",
    "#596878",
    "#61811c",
    "#963a1e",
    "#3a3f8f",
)
DARK = (
    "#6cb0ff",
    "#ff8793",
    "#5fd381",
    "#ffb44d",
    "#b99dff",
    "#4fd6d8",
    "#d6b67c",
    "#f68fd5",
    "#aebccb",
    "#b8da66",
    "#f2966f",
    "#a3a8ff",
)
"""The same colours on white and on black; the first is kept for our own plan."""

OWN_WORDS = ("plan",)
"""Labels with one of these words are drawn in the first colour, and bolder."""


def is_own(label: str) -> bool:
    """True for labels of our own arm."""
    return any(word in label.lower().split() for word in OWN_WORDS)


def colour_names(chart: Chart) -> tuple[str, ...]:
    """What needs a colour in a chart: its series, or its bars when there is one series of bars."""
    if len(chart.series) == 1 and chart.series[0].x and isinstance(chart.series[0].x[0], str):
        return tuple(str(name) for name in chart.series[0].x)
    return tuple(series.label for series in chart.series)


def assign_colours(reports: Iterable[StudyReport]) -> Mapping[str, int]:
    """Index into the palette by label; within a chart no two labels share a colour while there are enough."""
    found: dict[str, int] = {}
    uses: Counter[int] = Counter()
    for report in reports:
        for chart in report.charts:
            names = colour_names(chart)
            taken = {found[name] for name in names if name in found}
            for name in names:
                if name in found:
                    continue
                first = 0 if is_own(name) else 1
                free = [index for index in range(first, len(LIGHT)) if index not in taken]
                index = (
                    0
                    if is_own(name) and 0 in free
                    else min(free or range(1, len(LIGHT)), key=lambda i: (uses[i], i))
                )
                found[name] = index
                uses[index] += 1
                taken.add(index)
    return found
