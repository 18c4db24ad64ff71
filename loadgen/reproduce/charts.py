"""Charts as inline SVG: text stays text, and colours are CSS variables, so that a page can be light or dark."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from loadgen.reproduce.document import number_text
from loadgen.reproduce.findings import Chart, Mark, Series
from loadgen.reproduce.palette import LIGHT, is_own

_INK, _GRID = "#010203", "#040506"
"""Stand for the page's text and grid colours until the SVG is written."""

_STYLE: Any = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _GRID,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": _GRID,
    "grid.linewidth": 0.6,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
    "figure.facecolor": "none",
}
_WIDTH_INCHES = 5.4
_HEIGHT_INCHES = 3.5
_BAR_INCHES = 0.26
_LABEL_CHARACTERS = 19
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "h", "p", "*")


@dataclass(frozen=True, slots=True)
class _Pen:
    """Colours by label; own arms are drawn bolder and on top."""

    colours: Mapping[str, int]

    def style(self, label: str) -> dict[str, Any]:
        index = self.colours.get(label, 1)
        own = is_own(label)
        return {"color": LIGHT[index], "linewidth": 2.6 if own else 1.5, "zorder": 4 if own else 3}

    def colour(self, label: str) -> str:
        return LIGHT[self.colours.get(label, 1)]

    def marker(self, label: str) -> str:
        return _MARKERS[self.colours.get(label, 1) % len(_MARKERS)]


def draw(chart: Chart, colours: Mapping[str, int], *, name: str) -> str:
    """An `<svg>` element.

    Args:
        chart: What to draw.
        colours: Index into the palette by label.
        name: Unique within the page; prefix of the element's ids.

    Raises:
        ModuleNotFoundError: matplotlib is not installed (the extra `report`).
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure as Canvas

    pen = _Pen(colours)
    is_bars = any(series.mark is Mark.BARS for series in chart.series)
    with mpl.rc_context(_STYLE | {"svg.hashsalt": name}):
        height = _bars_height(chart) if is_bars else _HEIGHT_INCHES
        canvas = Canvas(figsize=(_WIDTH_INCHES, height))
        FigureCanvasSVG(canvas)
        axes = canvas.add_subplot()
        if is_bars:
            _draw_bars(axes, chart, pen)
        else:
            _draw_lines(axes, chart, pen)
        stream = io.StringIO()
        canvas.savefig(
            stream,
            format="svg",
            bbox_inches="tight",
            pad_inches=0.05,
            metadata={"Date": None, "Creator": None},
        )
    return _inline(stream.getvalue(), chart.title, name)


def _draw_lines(axes: Any, chart: Chart, pen: _Pen) -> None:  # noqa: ANN401 -- matplotlib has no types
    for series in chart.series:
        style = pen.style(series.label)
        x, y = np.array(series.x, dtype=float), np.array(series.y, dtype=float)
        if series.mark is Mark.POINTS:
            axes.plot(x, y, linestyle="none", marker=pen.marker(series.label), markersize=7, **style)
            if series.low:
                axes.vlines(x, series.low, series.high, alpha=0.6, **style)
        else:
            axes.plot(x, y, marker=pen.marker(series.label), markersize=4.5, **style)
            if series.low:
                axes.fill_between(
                    x, series.low, series.high, color=style["color"], alpha=0.15, linewidth=0, zorder=2
                )
    if chart.reference is not None:
        axes.axhline(chart.reference, color=_INK, linewidth=1.0, linestyle=(0, (4, 3)), alpha=0.6, zorder=2)
    axes.set_xlabel(chart.x_label)
    axes.set_ylabel(chart.y_label)
    _scale(axes.xaxis, axes.set_xscale, is_log=chart.x_is_log)
    _scale(axes.yaxis, axes.set_yscale, is_log=chart.y_is_log)
    if len(chart.series) > 1:
        _label_ends(axes, chart.series, pen)


def _scale(axis: Any, set_scale: Any, *, is_log: bool) -> None:  # noqa: ANN401
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

    if is_log:
        set_scale("log")
        low, high = sorted(axis.get_view_interval())
        decades = np.log10(high / low) if low > 0 else 1.0
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if decades < 3 else (1.0,)))
        axis.set_minor_formatter(NullFormatter())
    else:
        axis.set_major_locator(MaxNLocator(nbins=6))
    axis.set_major_formatter(FuncFormatter(lambda value, _: _tick(value)))


def _tick(value: float) -> str:
    size = abs(value)
    if size >= 1e6:
        return f"{value / 1e6:g}M"
    return f"{value / 1e3:g}K" if size >= 1e4 else f"{value:,.5g}"


def _label_ends(axes: Any, series: Sequence[Series], pen: _Pen) -> None:  # noqa: ANN401
    """Name each series beside its last point; names that would overlap are moved apart."""
    ends = []
    axes.figure.canvas.draw()
    inverse = axes.transAxes.inverted()
    for one in series:
        if one.x and np.isfinite(one.y[-1]):
            point = axes.transData.transform((float(one.x[-1]), one.y[-1]))
            ends.append((one.label, *inverse.transform(point)))
    ends.sort(key=lambda end: end[2])
    texts = [_wrap(label) for label, _, _ in ends]
    heights = [0.062 * (1 + text.count("\n")) + 0.012 for text in texts]
    for (label, x, y), text, at in zip(ends, texts, _spread([y for *_, y in ends], heights), strict=True):
        axes.annotate(
            text,
            xy=(x, y),
            xytext=(1.045, at),
            xycoords="axes fraction",
            textcoords="axes fraction",
            color=pen.colour(label),
            fontsize=9.5,
            fontweight="bold" if is_own(label) else "normal",
            va="center",
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "color": pen.colour(label),
                "alpha": 0.35,
                "linewidth": 0.8,
                "shrinkA": 1,
                "shrinkB": 4,
            },
        )


def _spread(wanted: Sequence[float], heights: Sequence[float]) -> list[float]:
    """Positions of labels of these heights near the wanted ones, ascending, that do not overlap."""
    blocks: list[tuple[float, float, list[int]]] = []  # lower edge wanted, height, members
    for index, (at, height) in enumerate(zip(wanted, heights, strict=True)):
        blocks.append((at - height / 2, height, [index]))
        while len(blocks) > 1 and blocks[-2][0] + blocks[-2][1] > blocks[-1][0]:
            (low, below, members), (high, above, more) = blocks[-2:]
            total = len(members) + len(more)
            low = (low * len(members) + (high - below) * len(more)) / total
            blocks[-2:] = [(low, below + above, members + more)]
    found = [0.0] * len(wanted)
    for low, _, members in blocks:
        edge = low
        for index in members:
            found[index] = edge + heights[index] / 2
            edge += heights[index]
    return found


def _wrap(label: str) -> str:
    lines = [""]
    for word in label.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > _LABEL_CHARACTERS:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(lines)


def _bars_height(chart: Chart) -> float:
    count = sum(len(series.x) for series in chart.series)
    return 0.9 + _BAR_INCHES * count + 0.12 * len(chart.series[0].x)


def _draw_bars(axes: Any, chart: Chart, pen: _Pen) -> None:  # noqa: ANN401
    """Horizontal bars, so that names can be read; categories from top to bottom."""
    names = list(dict.fromkeys(str(name) for series in chart.series for name in series.x))
    thickness = 0.82 / len(chart.series)
    longest = max((value for series in chart.series for value in (*series.high, *series.y)), default=1.0)
    for number, series in enumerate(chart.series):
        at = [names.index(str(name)) - 0.41 + thickness * (number + 0.5) for name in series.x]
        single = len(chart.series) == 1
        colours = [pen.colour(str(name) if single else series.label) for name in series.x]
        axes.barh(at, series.y, height=0.9 * thickness, color=colours, zorder=3, label=series.label)
        if series.low:
            axes.hlines(at, series.low, series.high, color=_INK, linewidth=1.1, zorder=4)
        tops = series.high or series.y
        for position, value, top in zip(at, series.y, tops, strict=True):
            axes.annotate(
                number_text(value),
                xy=(max(value, top), position),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
                fontsize=9,
            )
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(chart.y_label)
    _scale(axes.xaxis, axes.set_xscale, is_log=chart.y_is_log)
    if not chart.y_is_log and longest > 0:
        axes.set_xlim(right=1.12 * longest)
    if len(chart.series) > 1:
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False, fontsize=9.5)


def _inline(svg: str, title: str, name: str) -> str:
    """Make an SVG document an element of a page."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"\bid=\"", f'id="{name}-', svg)
    svg = re.sub(r"url\(#", f"url(#{name}-", svg)
    svg = re.sub(r"href=\"#", f'href="#{name}-', svg)
    svg = re.sub(r"<svg ([^>]*?)\swidth=\"[^\"]*\"", r"<svg \1", svg, count=1)
    svg = re.sub(r"<svg ([^>]*?)\sheight=\"[^\"]*\"", r"<svg \1", svg, count=1)
    label = title.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
    svg = svg.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)
    svg = svg.replace(_INK, "var(--ink)").replace(_GRID, "var(--grid)")
    for index, colour in enumerate(LIGHT):
        svg = svg.replace(colour, f"var(--c{index})")
    return svg.strip()
