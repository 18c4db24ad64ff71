"""The study: the same two arms through real Envoy and in virtual time, held against each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import uvloop

from loadgen.questions.catalog import load_questions
from loadgen.reproduce.agreement.virtual import VirtualTask, simulate
from loadgen.reproduce.document import number_text
from loadgen.reproduce.findings import Chart, Finding, Mark, Series, StudyReport, Table, Verdict
from loadgen.reproduce.study import StudyContext
from loadgen.ttca.arms import ARMS
from loadgen.ttca.report import KEEPS_UP_LAG_SECONDS
from loadgen.ttca.run import run_study
from loadgen.ttca.study import Point, Study, without_loops
from loadgen.virtual.simulation import Run, Story
from loadgen.virtual.summary import Figure, Summary, summarize

LOAD = "moderate"
CHOSEN: Mapping[str, float] = {"plan_verified": 40.0, "laar": 3.0}
"""Arms and the values of their knobs: retries by the gateway, and by a client that judges."""

TOLERANCE = 0.10
BUSY_SHARE = 0.05
"""Share of the time without a free core above which a run through Envoy is called disturbed."""

QUANTILES = tuple(np.linspace(0.05, 0.95, 19).round(2).tolist())


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenPoints(Study):
    """A study of one value per arm."""

    def values(self, arm: str) -> tuple[float, ...]:
        """The one value."""
        return (CHOSEN[arm],)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One arm on both sides."""

    arm: str
    real: Point
    virtual: Run
    virtual_summary: Summary

    @property
    def title(self) -> str:
        """Name for tables."""
        return ARMS[self.arm].title


class AgreementStudy:
    """Virtual time against real Envoy, a real service process and HTTP simulators."""

    key = "agreement"
    title = "Agreement: virtual time against real Envoy"

    def run(self, context: StudyContext) -> StudyReport:
        """Run it; Envoy's half takes real time.

        Raises:
            StackError: A part of the system did not start, or died.
            FileNotFoundError: The data folder is there, but a file is missing.
        """
        questions = without_loops(load_questions("zeroeval", context.data, seed=context.seed))
        study = ChosenPoints(
            questions="zeroeval",
            rates={LOAD: 12.0},
            requests=120 if context.is_quick else 500,
            arms=tuple(CHOSEN),
            is_quick=context.is_quick,
            time_scale=2.0,
            seed=context.seed,
            warm_up=100 if context.is_quick else 150,
        )
        tasks = [
            VirtualTask(study=study, questions=questions, load=LOAD, arm=arm, value=value)
            for arm, value in CHOSEN.items()
        ]
        virtual = dict(zip(CHOSEN, context.run_all(simulate, tasks), strict=True))
        # Nothing else runs meanwhile: the machine's clock is what is measured.
        context.on_tasks(1 + len(CHOSEN))
        with TemporaryDirectory(prefix="ttca-agreement-") as folder:
            points = uvloop.run(
                run_study(study, questions, Path(folder), on_point=lambda _: context.on_done())
            )
        real = {point.plan.arm: point for point in points}
        pairs = [
            Pair(
                arm=arm,
                real=real[arm],
                virtual=virtual[arm],
                virtual_summary=summarize(virtual[arm], knob=value, seed=study.seed),
            )
            for arm, value in CHOSEN.items()
        ]
        return write_report(pairs, study, key=self.key, title=self.title, is_recorded=questions.is_recorded)


def write_report(
    pairs: Sequence[Pair], study: Study, *, key: str, title: str, is_recorded: bool
) -> StudyReport:
    """What both sides say."""
    return StudyReport(
        key=key,
        title=title,
        setting=(
            f"ZeroEval questions, {study.rates[LOAD]:g} requests/s, {study.requests} requests, ten instances of five models; "
            f"real time runs {study.time_scale:g} times as fast as simulated time. Questions, arrivals, fleet and policy are the "
            "same on both sides; the service learns from a warm-up, the virtual router from the same answers. All times are "
            "simulated seconds."
        ),
        findings=tuple(finding for pair in pairs for finding in findings_of(pair, study)),
        tables=(_table(pairs),),
        charts=tuple(_quantiles(pair) for pair in pairs),
        is_recorded=is_recorded,
    )


def findings_of(pair: Pair, study: Study) -> tuple[Finding, Finding]:
    """Whether mean TTCA and throughput of an arm agree."""
    ttca = _ratio(
        pair.virtual_summary.figures["ttca_mean_seconds"].value,
        pair.real.summary.figures["ttca_mean_seconds"].value,
        pair.virtual_summary.seconds_solved / pair.real.summary.seconds_solved,
    )
    rate = throughput(pair.virtual.stories) / throughput(pair.real.stories)
    causes = _causes(pair.real, study)
    return (
        _finding(f"ttca_{pair.arm}", f"Mean TTCA agrees within 10 %: {pair.title}.", ttca, causes),
        _finding(
            f"throughput_{pair.arm}",
            f"Throughput agrees within 10 %: {pair.title}.",
            Figure(rate, rate, rate),
            causes,
        ),
    )


def throughput(stories: Sequence[Story]) -> float:
    """Requests that ended per simulated second, from the first arrival to the last end."""
    begun = min(story.arrived_seconds for story in stories)
    return len(stories) / (max(story.ended_seconds for story in stories) - begun)


def _finding(key: str, claim: str, ratio: Figure, causes: str) -> Finding:
    agrees = abs(ratio.value - 1.0) <= TOLERANCE
    if agrees:
        verdict = Verdict.HOLDS
    else:
        # A machine without a free core slows Envoy's side alone.
        verdict = Verdict.CONDITIONAL if causes and ratio.value < 1.0 else Verdict.FAILS
    return Finding(key=key, claim=claim, published="", ours=ratio, unit="x", verdict=verdict, reason=causes)


def _ratio(virtual: float, real: float, resampled: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Figure:
    low, high = np.nanquantile(resampled, (0.025, 0.975))
    return Figure(virtual / real, float(low), float(high))


def _causes(point: Point, study: Study) -> str:
    """What disturbed Envoy's side, in a sentence; empty when nothing did."""
    found = []
    full = point.usage.saturated.get("machine", 0.0)
    if full > BUSY_SHARE:
        found.append(f"no core was free during {full:.0%} of the time")
    if point.lag_p99_seconds > KEEPS_UP_LAG_SECONDS:
        late = 1000 * point.lag_p99_seconds * study.time_scale
        found.append(f"requests were sent up to {late:.0f} simulated ms late")
    if point.errors:
        found.append(f"{point.errors} requests were not answered")
    return f"Disturbed: {', '.join(found)}." if found else ""


def _table(pairs: Sequence[Pair]) -> Table:
    rows = []
    for pair in pairs:
        for side, summary, stories in (
            ("Envoy", pair.real.summary, pair.real.stories),
            ("virtual", pair.virtual_summary, pair.virtual.stories),
        ):
            of = summary.figures
            rows.append(
                (
                    f"{pair.title}, {side}",
                    _cell(of["ttca_mean_seconds"]),
                    number_text(of["ttca_p50_seconds"].value),
                    number_text(of["ttca_p95_seconds"].value),
                    _cell(of["mean_seconds_all"]),
                    f"{of['success'].value:.3f}",
                    f"{of['first_success'].value:.3f}",
                    f"{of['attempts'].value:.2f}",
                    number_text(throughput(stories)),
                )
            )
    return Table(
        title="Both sides, simulated seconds",
        columns=(
            "arm, side",
            "TTCA, mean",
            "p50",
            "p95",
            "mean, all",
            "success",
            "first",
            "tries",
            "requests/s",
        ),
        rows=tuple(rows),
        note="Envoy's side has HTTP, ext_proc and the access log in between, some milliseconds per try, times the time scale.",
    )


def _quantiles(pair: Pair) -> Chart:
    def series(label: str, stories: Sequence[Story]) -> Series:
        solved = [story.seconds for story in stories if story.is_solved]
        return Series(
            label=label,
            x=tuple(100.0 * share for share in QUANTILES),
            y=tuple(float(value) for value in np.quantile(solved, QUANTILES)),
            mark=Mark.LINE,
        )

    return Chart(
        title=f"TTCA by quantile: {pair.title}",
        x_label="share of solved requests (%)",
        y_label="seconds",
        series=(series("through Envoy", pair.real.stories), series("virtual time", pair.virtual.stories)),
        y_is_log=True,
    )


def _cell(figure: Figure) -> str:
    return f"{number_text(figure.value)} [{number_text(figure.low)}, {number_text(figure.high)}]"
