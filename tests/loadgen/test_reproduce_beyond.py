"""The study of all three papers at once: questions, baselines, comparison at equal success, and a small run."""

from __future__ import annotations

import math
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from extproc.fleet.load import LoadBook
from extproc.fleet.snapshot import FleetTable
from loadgen.questions.generated import generate_questions
from loadgen.questions.question import Question, QuestionSet
from loadgen.reproduce.beyond import STUDY, study
from loadgen.reproduce.beyond.arms import ARMS, OURS, OWN, THRIFTY
from loadgen.reproduce.beyond.fleet import build_pools, gpus_by_address
from loadgen.reproduce.beyond.frontier import against_best, compare_points, mean_ratio, read_off
from loadgen.reproduce.beyond.measure import RESAMPLES, Measured, measure, pool_seeds
from loadgen.reproduce.beyond.policies import FittingForecast, RoundRobin, Stacked, rank_by_threshold
from loadgen.reproduce.beyond.questions import SHARES, draw_traffic, mix_questions
from loadgen.reproduce.beyond.study import Size
from loadgen.reproduce.findings import Verdict
from loadgen.reproduce.laar.curves import FITTED
from loadgen.reproduce.study import StudyContext
from loadgen.virtual.knowledge import Chances, ExpectedLengths
from loadgen.virtual.policy import Asked
from loadgen.virtual.simulation import Run, Story


@pytest.fixture(scope="module")
def base() -> QuestionSet:
    return generate_questions("zeroeval", seed=1, count=400)


@pytest.fixture(scope="module")
def mixed(base: QuestionSet) -> QuestionSet:
    return mix_questions(base, FITTED, seed=1)


def accuracy(questions: list[Question], model: str) -> float:
    return sum(question.correct[model] for question in questions) / len(questions)


def test_parts_share_no_question(mixed: QuestionSet) -> None:
    """A question and its translations stay on one side of the division."""
    training = {question.key.split("-ja")[0].split("-zh")[0] for question in mixed.training}
    held_out = {question.key.split("-ja")[0].split("-zh")[0] for question in mixed.held_out}
    assert set() == training & held_out


def test_accuracy_falls_abroad_and_with_length(mixed: QuestionSet) -> None:
    """Small models lose in Japanese, the largest hardly; one collapses beyond its window, whose neighbour then leads."""
    asked = [*mixed.training, *mixed.held_out]
    small, large = mixed.models[0], mixed.models[-1]
    english = [question for question in asked if question.kind == "gsm"]
    japanese = [question for question in asked if question.kind == "gsm ja"]
    assert accuracy(japanese, small) < accuracy(english, small) - 0.1
    assert accuracy(japanese, large) > accuracy(english, large) - 0.12
    long = [question for question in asked if question.kind == "find en"]
    short, far = [q for q in long if q.prompt_tokens < 12_000], [q for q in long if q.prompt_tokens > 36_000]
    falling, steady = mixed.models[2], mixed.models[1]
    assert accuracy(short, falling) > accuracy(short, steady)
    assert accuracy(far, falling) < accuracy(far, steady)


def test_failures_hang_together(mixed: QuestionSet) -> None:
    """Where outcomes are drawn, two models fail together more often than if they were independent."""
    long = [q for q in (*mixed.training, *mixed.held_out) if q.kind.startswith("find")]
    first, second = mixed.models[0], mixed.models[1]
    both = sum(not q.correct[first] and not q.correct[second] for q in long) / len(long)
    assert both > (1 - accuracy(long, first)) * (1 - accuracy(long, second)) + 0.02


def test_traffic_has_the_shares(mixed: QuestionSet) -> None:
    """Each group of questions gets its share of the requests."""
    asked = draw_traffic(mixed.held_out, 4000, np.random.default_rng(0))
    kinds = Counter("long" if question.kind.startswith("find") else "short" for question in asked)
    assert SHARES["long"] == pytest.approx(kinds["long"] / 4000, abs=0.02)


class _Known:
    """The same chances for every question."""

    def __init__(self, *chances: float) -> None:
        self._chances = Chances(np.ones(1), np.array([[chance] for chance in chances]))

    def chances(self, question: Question) -> Chances:
        return self._chances


def question_of(mixed: QuestionSet, *, long: bool) -> Question:
    return next(
        question
        for question in mixed.held_out
        if (question.prompt_tokens > 20_000 if long else question.prompt_tokens < 1_000)
    )


def forecast_of(mixed: QuestionSet, *, keeps_pools: bool = True) -> FittingForecast:
    fleet = build_pools(mixed.models)
    lengths = ExpectedLengths(mixed.training, mixed.models)
    return FittingForecast(FleetTable.of(fleet.topology), lengths, keeps_pools=keeps_pools)


def test_long_requests_never_go_where_they_do_not_fit(mixed: QuestionSet) -> None:
    """An instance of the short pool is no choice for a long request, whatever the load; it is for a short one."""
    forecast = forecast_of(mixed, keeps_pools=False)
    snapshot = LoadBook(build_pools(mixed.models).topology).snapshot(0.0)
    limits = forecast.table.max_model_len
    own = forecast.predict(question_of(mixed, long=True), snapshot).own_seconds
    assert (np.isfinite(own) == (limits == 65_536)).all()
    assert np.isfinite(forecast.predict(question_of(mixed, long=False), snapshot).own_seconds).all()


def test_stacked_goes_down_its_list_whatever_the_load(mixed: QuestionSet) -> None:
    """The cheapest likely model comes first, on its least loaded instance of the pool; a failure leads to the next."""
    book = LoadBook(build_pools(mixed.models).topology)
    forecast = forecast_of(mixed)
    policy = Stacked(
        forecast, rank_by_threshold(forecast, _Known(0.1, 0.5, 0.6, 0.65, 0.7), share=0.8), most_attempts=5
    )
    asked = Asked(0, question_of(mixed, long=False))
    order = []
    while (row := policy.choose(asked, book.snapshot(0.0))) is not None:
        order.append(forecast.table.models[forecast.table.model_index[row]])
        asked.rows.append(row)
        asked.failed.append(order[-1])
        assert forecast.table.max_model_len[row] == 8_192
        book.charge(
            f"{row}",
            addresses=(forecast.table.addresses[row],),
            request_id="",
            sequences=1,
            prompt_tokens=10,
            output_tokens=10,
            now=0.0,
            expires_at=math.inf,
        )
    small, second, *likely = mixed.models
    assert [*likely, second, small] == order
    again = policy.choose(Asked(1, asked.question), book.snapshot(0.0))
    assert again is not None
    assert again != asked.rows[0]


def test_round_robin_skips_failed_models_and_stops_at_the_cap(mixed: QuestionSet) -> None:
    """No model is asked twice on one question, and no more than the cap allows."""
    forecast = forecast_of(mixed)
    snapshot = LoadBook(build_pools(mixed.models).topology).snapshot(0.0)
    policy = RoundRobin(forecast, most_attempts=2)
    asked = Asked(0, question_of(mixed, long=False), failed=list(mixed.models[:4]))
    row = policy.choose(asked, snapshot)
    assert row is not None
    assert mixed.models[4] == forecast.table.models[forecast.table.model_index[row]]
    assert policy.choose(replace(asked, rows=[0, 1]), snapshot) is None


def test_frontier_is_read_off_between_points_worth_having() -> None:
    """A dominated point is left out, neighbours are mixed, a lower success costs the least point, a higher one is none."""
    success, needs = np.array([0.5, 0.7, 0.6, 0.9]), np.array([1.0, 3.0, 9.0, 7.0])
    assert 2.0 == pytest.approx(read_off(success, needs, 0.6))
    assert 5.0 == pytest.approx(read_off(success, needs, 0.8))
    assert 1.0 == read_off(success, needs, 0.3)
    assert math.isnan(read_off(success, needs, 0.95))


def point(success: float, seconds: float) -> Measured:
    values = {"success": success, "all_seconds": seconds}
    return Measured(
        knob=1.0,
        values=values,
        resamples={name: np.full(RESAMPLES, value) for name, value in values.items()},
        busy_share=0.5,
    )


def test_ours_is_held_against_whoever_is_best_at_a_success() -> None:
    """At a success the strongest baseline counts, and the mean over comparisons is geometric."""
    frontiers = {
        OURS: [point(0.5, 1.0), point(0.9, 4.0)],
        "fast": [point(0.5, 0.5)],
        "good": [point(0.5, 2.0), point(0.9, 8.0)],
    }
    found = against_best(frontiers, OURS, ["fast", "good"], "all_seconds")
    assert [("fast", 2.0), ("good", 0.5)] == [(one.arm, one.ratio.value) for one in found]
    assert 1.0 == pytest.approx(mean_ratio(found).value)
    assert [0.5, 0.5] == [
        one.ratio.value for one in compare_points(frontiers[OURS], "good", frontiers["good"], "all_seconds")
    ]


def test_seeds_are_added_up_before_dividing(mixed: QuestionSet) -> None:
    """A metric over two seeds is the quotient of their sums, and the same resamples serve every point."""

    def run(solved: int, seconds: float) -> Run:
        stories = tuple(
            Story(
                question=mixed.held_out[number],
                arrived_seconds=0.0,
                ended_seconds=seconds,
                is_solved=number % 10 < solved,
                attempts=1,
                usd=0.1,
            )
            for number in range(100)
        )
        return Run(stories=stories, busy_seconds={"a": 10.0, "b": 30.0}, preemptions=0, seconds=50.0)

    gpus = {"a": 1, "b": 4}
    runs = [measure(run(10, 1.0), gpus, seed=1), measure(run(5, 3.0), gpus, seed=2)]
    pooled = pool_seeds(runs, knob=1.0, seed=0)
    assert 0.75 == pytest.approx(pooled.values["success"])
    assert 2.0 == pytest.approx(pooled.values["all_seconds"])
    assert (90 * 1.0 + 45 * 3.0) / 135 == pytest.approx(pooled.values["ttca_seconds"])
    assert 2 * 130.0 * 0.9 / 135 == pytest.approx(pooled.values["gpu_seconds"])
    figure = pooled.figure("success")
    assert figure.low < 0.75 < figure.high


def test_gpus_follow_the_models(mixed: QuestionSet) -> None:
    """The fleet's instances have the GPUs of their model, in both pools."""
    gpus = gpus_by_address(build_pools(mixed.models), mixed.models)
    assert 36 == sum(gpus.values())
    assert 20 == len(gpus)


def test_a_small_study_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    """A study of few short runs yields findings with verdicts, a row per arm and load, and pictures."""
    monkeypatch.setattr(study, "QUICK", Size(rates=(4.0,), seeds=1, requests=60))
    kept = {name: ARMS[name] for name in (OURS, THRIFTY, "laar", "stacked_laar", "load_aware")}
    monkeypatch.setattr(
        study, "knobs", lambda arm, *, is_quick: ARMS[arm].quick_values[1:] if arm in kept else (3.0,)
    )
    done: list[int] = []
    with ProcessPoolExecutor(1) as pool:
        context = StudyContext(
            seed=1,
            is_quick=True,
            data=None,
            pool=pool,
            on_tasks=done.append,
            on_done=lambda: done.append(-1),
        )
        report = STUDY.run(context)
    assert 0 == sum(done)
    assert not report.is_recorded
    assert {"against_laar_high_load", "never_worse_ttca", "cheaper_usd"} <= {f.key for f in report.findings}
    assert all(finding.verdict in Verdict for finding in report.findings)
    assert len(ARMS) - len(OWN) == len(report.tables[0].rows)
    assert all(chart.series and all(series.y for series in chart.series) for chart in report.charts)
