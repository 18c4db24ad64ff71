"""The study: sweeps on two sets, RouteBalance taken apart and loaded, neighbours on unseen tasks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from loadgen.reproduce.findings import StudyReport
from loadgen.reproduce.route_balance import own, pictures, tables
from loadgen.reproduce.route_balance.experiment import BUSY, CALM, Compared, Swept, compare, sweep
from loadgen.reproduce.route_balance.published import published_findings
from loadgen.reproduce.route_balance.sets import NAMES
from loadgen.reproduce.route_balance.unseen import Unseen, judge_mixed_tasks
from loadgen.reproduce.study import StudyContext

_SETTING = """\
13 instances of four sizes, speeds and prices as published (3B x 3, 7B x 5, 14B x 3, 72B x 2; iteration times between the \
measured and the prior time per output token). Questions with every model's recorded answer and length: {sets}; estimators \
learn from 60 %, runs ask the rest. Poisson arrivals of 6 to 30 requests/s, a square wave of 30/6 and gamma bursts. \
Differs from the paper: answers are right or wrong instead of judged; words are hashed instead of embedded; all arms \
see the same load book and decide in no time; the rivals are scored concurrently. The plan is the production router with \
`first_correct`: verified (wrong answers are found out and retried, which no other arm may), and with one attempt that \
nobody judges (the same footing as the rest)."""


@dataclass(frozen=True, slots=True)
class RouteBalanceStudy:
    """See the module."""

    key: str = "route_balance"
    title: str = "RouteBalance: quality, price and latency together"

    def run(self, context: StudyContext) -> StudyReport:
        """Run it.

        Raises:
            FileNotFoundError: The data folder is there, but a file is missing.
        """
        names = NAMES[:1] if context.is_quick else NAMES
        sets = [sweep(context, name) for name in names]
        compared = compare(context, sets[0])
        judged = context.run_all(judge_mixed_tasks, _folders(context))
        return _report(self, context, sets, compared, judged[0] if judged else [])


def _folders(context: StudyContext) -> list[Path]:
    return [context.data] if context.data is not None else []


def _report(
    study: RouteBalanceStudy,
    context: StudyContext,
    sets: list[Swept],
    compared: Compared,
    judged: list[Unseen],
) -> StudyReport:
    main = sets[0]
    described = "; ".join(
        f"{swept.name} ({', '.join(swept.bench.questions.models)}; {len(swept.bench.questions.training)} to learn from, "
        f"{len(swept.bench.questions.held_out)} asked)"
        for swept in sets
    )
    return StudyReport(
        key=study.key,
        title=study.title,
        setting=_SETTING.format(sets=described),
        findings=(
            *own.frontiers(sets),
            *published_findings(main, compared, judged, seed=context.seed),
        ),
        tables=(
            tables.volumes(sets),
            *(tables.dominance(swept, load) for swept in sets for load in (CALM, BUSY)),
            tables.isolation(compared),
            tables.rates(compared),
            *([tables.unseen(judged)] if judged else []),
            *(tables.points(swept, load) for swept in sets for load in (CALM, BUSY)),
        ),
        charts=(
            *(chart for swept in sets for chart in pictures.frontiers(swept)),
            pictures.by_rate(compared),
            pictures.bursts(compared),
        ),
        is_recorded=context.data is not None,
    )


STUDY = RouteBalanceStudy()
