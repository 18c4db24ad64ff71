"""LAAR (arXiv 2604.15732) run again: five models, five lengths, three languages, eight clients, and our plan beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from loadgen.reproduce.findings import StudyReport
from loadgen.reproduce.laar import exhibits
from loadgen.reproduce.laar.accuracy import CELLS, Cell, accuracy_table
from loadgen.reproduce.laar.arms import ARMS, CAPS, STOP_PRICES
from loadgen.reproduce.laar.curves import find_measurements
from loadgen.reproduce.laar.ours import our_findings
from loadgen.reproduce.laar.published import published_findings
from loadgen.reproduce.laar.questions import COUPLED, INDEPENDENT
from loadgen.reproduce.laar.results import Results
from loadgen.reproduce.laar.runs import Task, run_task
from loadgen.reproduce.study import StudyContext

QUESTIONS = 50
"""To fit on, and to judge by, in every cell, as published."""

WITHOUT_CACHES = ("laar", "session_affinity")
INDEPENDENTLY = ("laar", "router_judged")


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much is run.

    Attributes:
        seeds: Sets of questions; the checks of caches and of independence get half of them, at least one.
        lengths: Prompt tokens.
        caps, prices: Knobs of the arms that have several.
    """

    seeds: int
    lengths: Sequence[int]
    caps: tuple[float, ...]
    prices: tuple[float, ...]

    def values(self, arm: str) -> tuple[float, ...]:
        """Values of an arm's knob."""
        by_size = {CAPS: self.caps, STOP_PRICES: self.prices}
        return by_size.get(ARMS[arm].values, ARMS[arm].values)


FULL = Size(seeds=5, lengths=sorted({cell.length for cell in CELLS}), caps=CAPS, prices=STOP_PRICES)
QUICK = Size(
    seeds=1, lengths=(4_096, 16_384, 65_536), caps=(2.0, CAPS[-1]), prices=(8.0, 100.0, STOP_PRICES[-1])
)


class LaarStudy:
    """The study."""

    key = "laar"
    title = "LAAR: lightweight accuracy-aware routing for long prompts"

    def run(self, context: StudyContext) -> StudyReport:
        """Run it.

        Raises:
            FileNotFoundError: The data folder is there, but a file is missing.
        """
        size = QUICK if context.is_quick else FULL
        measured = find_measurements(context.data)
        table = {
            cell: chances for cell, chances in accuracy_table(measured).items() if cell.length in size.lengths
        }
        main = [task for seed in range(size.seeds) for task in _tasks(size, table, context.seed + seed)]
        fewer = range(max(1, size.seeds // 2))
        bare = [
            replace(task, keeps_prefixes=False, values=task.values[-1:])
            for seed in fewer
            for task in _tasks(size, table, context.seed + seed, WITHOUT_CACHES)
        ]
        independent = [
            replace(task, correlation=INDEPENDENT)
            for seed in fewer
            for task in _tasks(size, table, context.seed + seed, INDEPENDENTLY)
        ]
        # The router's arms take longest.
        tasks = sorted([*main, *bare, *independent], key=lambda task: "router" not in task.arm)
        found = dict(zip(map(_name, tasks), context.run_all(run_task, tasks), strict=True))

        def results(part: Sequence[Task]) -> Results:
            return Results([point for task in part for point in found[_name(task)]], context.seed)

        whole = results(main)
        return StudyReport(
            key=self.key,
            title=self.title,
            setting=_setting(size, measured.is_recorded),
            findings=(
                *published_findings(whole, results(bare)),
                *our_findings(whole, results(independent)),
            ),
            tables=(
                exhibits.accuracy_rows(table),
                exhibits.speed_rows(size.lengths),
                exhibits.arm_rows(whole),
                exhibits.cell_rows(whole),
                exhibits.equal_rows(whole),
            ),
            charts=exhibits.charts(whole),
            is_recorded=measured.is_recorded,
        )


def _tasks(
    size: Size, table: Mapping[Cell, Mapping[str, float]], seed: int, arms: Sequence[str] = tuple(ARMS)
) -> list[Task]:
    return [
        Task(arm=arm, values=size.values(arm), table=table, seed=seed, count=QUESTIONS, correlation=COUPLED)
        for arm in arms
    ]


def _name(task: Task) -> tuple[str, int, float, bool]:
    return task.arm, task.seed, task.correlation, task.keeps_prefixes


def _setting(size: Size, is_recorded: bool) -> str:
    source = (
        "measured curves of the data folder"
        if is_recorded
        else "curves fitted earlier, for want of the data folder"
    )
    return (
        f"Five models on one A100-80GB each (simulated), prompts of {', '.join(f'{n // 1024}K' for n in size.lengths)} tokens in "
        f"English, Japanese and Chinese, {QUESTIONS} questions per setting to fit on and {QUESTIONS} to judge by, {size.seeds} "
        "sets of questions, 8 clients that each ask the next question when theirs has ended, temperature 0 (a model repeats its "
        f"answer), at most 10 attempts, prefix caches on. Accuracies follow {source} of other models, shaped to the published "
        "facts; the publication's own are not public. LAAR: logistic regression on length and language; its penalty is not "
        "published, so both an infinite one and a factor of 2 per failure are run. Load-aware and session-affinity forget what "
        "failed, as published; load-aware with failed models left out is a stronger baseline of ours. Our router is the production "
        "code with a quality model fitted to the same questions from what its parser sees of a prompt; stop prices are "
        "multiples of an idle attempt's time. Every setting starts afresh, as published."
    )
