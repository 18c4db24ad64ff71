"""Tables and charts of the study."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from loadgen.reproduce.findings import Chart, Mark, Series, Table
from loadgen.reproduce.laar.accuracy import ROLES, Cell, Language
from loadgen.reproduce.laar.arms import ARMS
from loadgen.reproduce.laar.hardware import MODELS, SHAPES, idle_seconds
from loadgen.reproduce.laar.ours import OURS, RIVALS
from loadgen.reproduce.laar.results import Results, geometric_mean
from loadgen.virtual.summary import Figure

SHOWN = (
    "laar",
    "laar_soft",
    "load_aware",
    "load_aware_others",
    "session_affinity",
    "plan",
    "router_verified",
    "router_judged",
)


def shown(figure: Figure, digits: int = 2) -> str:
    """A figure with its interval."""
    if not math.isfinite(figure.value):
        return "-"
    if not math.isfinite(figure.low):
        return f"{figure.value:.{digits}f}"
    return f"{figure.value:.{digits}f} [{figure.low:.{digits}f}, {figure.high:.{digits}f}]"


def accuracy_rows(table: Mapping[Cell, Mapping[str, float]]) -> Table:
    """What goes in: who answers how often."""
    return Table(
        title="P(correct) by setting and model, as drawn from",
        columns=("setting", *MODELS),
        rows=tuple(
            (cell.name, *(f"{chances[model]:.2f}" for model in MODELS)) for cell, chances in table.items()
        ),
        note="; ".join(
            f"{model}: {role.source}, x{role.stretch:g} ({role.why})" for model, role in ROLES.items()
        ),
    )


def speed_rows(lengths: Sequence[int]) -> Table:
    """Time of an attempt on an idle instance."""
    return Table(
        title="Seconds of an attempt on an idle instance",
        columns=("model", *(f"{length // 1024}K" for length in lengths)),
        rows=tuple(
            (shape.model, *(f"{idle_seconds(shape, length):.2f}" for length in lengths)) for shape in SHAPES
        ),
        note="Prefill by arithmetic, decoding by memory, at rates measured on A100 and RTX PRO 6000 (`hardware.py`).",
    )


def arm_rows(results: Results) -> Table:
    """Every arm at every length, all languages."""
    rows = []
    for length in results.lengths:
        for arm in SHOWN:
            figures = results.summary(arm, cells=results.of_length(length)).figures
            rows.append(
                (
                    f"{length // 1024}K, {ARMS[arm].title}",
                    shown(figures["mean_seconds_all"]),
                    shown(figures["ttca_mean_seconds"]),
                    shown(figures["success"], 3),
                    shown(figures["first_success"], 3),
                    f"{figures['attempts'].value:.2f}",
                )
            )
    return Table(
        title="Arms by length, all languages",
        columns=("arm", "time, all (s)", "TTCA, solved (s)", "success", "first success", "attempts"),
        rows=tuple(rows),
        note=(
            "Published arms with at most 10 attempts; ours with a stop price that never gives up before all models have failed. "
            "Time, all: until a correct answer or giving up. Intervals: 95 %, bootstrap over questions of all seeds."
        ),
    )


def cell_rows(results: Results) -> Table:
    """TTCA and success by length and language."""
    arms = ("laar", "load_aware", "session_affinity", "router_verified", "router_judged")
    rows = []
    for cell in results.cells:
        figures = [results.summary(arm, cells=(cell,)).figures for arm in arms]
        rows.append(
            (
                cell.name,
                *(
                    f"{one['mean_seconds_all'].value:.2f} / {one['ttca_mean_seconds'].value:.2f}"
                    f" / {one['first_success'].value:.2f} / {one['success'].value:.2f}"
                    for one in figures
                ),
            )
        )
    return Table(
        title="Time over all / TTCA of solved / first success / final success, by setting",
        columns=("setting", *(ARMS[arm].title for arm in arms)),
        rows=tuple(rows),
        note="Seconds.",
    )


def equal_rows(results: Results) -> Table:
    """Ratios at equal final success."""
    rows = []
    for rival in RIVALS:
        for arm in OURS:
            by_time = results.equal(arm, rival, "mean_seconds_all")
            by_ttca = {(e.length, e.cap): e for e in results.equal(arm, rival, "ttca_mean_seconds")}
            for one in by_time:
                solved = by_ttca.get((one.length, one.cap))
                rows.append(
                    (
                        f"{ARMS[arm].title} over {ARMS[rival].title}",
                        f"{one.length // 1024}K",
                        f"{one.cap:.0f}",
                        f"{one.success:.3f}",
                        shown(one.figure),
                        shown(solved.figure) if solved else "-",
                    )
                )
    return Table(
        title="At equal final success",
        columns=("arms", "length", "attempts at most", "success", "time, all", "TTCA, solved"),
        rows=tuple(rows),
        note="Our frontier over its stop prices, read off at the success of each of the baseline's points; below 1: ours is faster.",
    )


def charts(results: Results) -> tuple[Chart, ...]:
    """Pictures."""
    return (
        *(_time_chart(results, language) for language in Language if results.of_language(language)),
        _success_chart(results),
        _ratio_chart(results),
    )


def _series(results: Results, arm: str, name: str, groups: Sequence[tuple[Cell, ...]]) -> Series:
    figures = [results.summary(arm, cells=cells).figures[name] for cells in groups]
    return Series(
        label=ARMS[arm].title,
        x=tuple(float(cells[0].length) for cells in groups),
        y=tuple(figure.value for figure in figures),
        low=tuple(figure.low for figure in figures),
        high=tuple(figure.high for figure in figures),
        mark=Mark.LINE,
    )


def _time_chart(results: Results, language: Language) -> Chart:
    groups = [(cell,) for cell in results.of_language(language)]
    return Chart(
        title=f"Time to the first correct answer or to giving up, {language}",
        x_label="prompt tokens",
        y_label="mean seconds",
        series=tuple(_series(results, arm, "mean_seconds_all", groups) for arm in SHOWN),
        note="Arms that give up early, or on few, are fast: read it with the chart of success.",
        x_is_log=True,
        y_is_log=True,
    )


def _success_chart(results: Results) -> Chart:
    groups = [results.of_length(length) for length in results.lengths]
    return Chart(
        title="Final success by length, all languages",
        x_label="prompt tokens",
        y_label="share of requests",
        series=tuple(_series(results, arm, "success", groups) for arm in SHOWN),
        x_is_log=True,
    )


def _ratio_chart(results: Results) -> Chart:
    series = []
    for arm in OURS:
        found = results.equal(arm, "laar", "mean_seconds_all")
        lengths = [length for length in results.lengths if any(one.length == length for one in found)]
        figures = [geometric_mean([one for one in found if one.length == length]) for length in lengths]
        series.append(
            Series(
                label=ARMS[arm].title,
                x=tuple(map(float, lengths)),
                y=tuple(figure.value for figure in figures),
                low=tuple(figure.low for figure in figures),
                high=tuple(figure.high for figure in figures),
            )
        )
    return Chart(
        title="Our time over LAAR's at equal final success",
        x_label="prompt tokens",
        y_label="ratio",
        series=tuple(series),
        note="Geometric mean over LAAR's retry caps; below 1: ours is faster.",
        x_is_log=True,
    )
