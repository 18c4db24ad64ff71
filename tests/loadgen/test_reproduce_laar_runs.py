from __future__ import annotations

import numpy as np
import pytest

from loadgen.reproduce.findings import Verdict
from loadgen.reproduce.laar.accuracy import Cell, Language, accuracy_table
from loadgen.reproduce.laar.arms import ARMS
from loadgen.reproduce.laar.curves import FITTED
from loadgen.reproduce.laar.exhibits import charts, equal_rows
from loadgen.reproduce.laar.hardware import MODELS
from loadgen.reproduce.laar.ours import our_findings
from loadgen.reproduce.laar.published import published_findings
from loadgen.reproduce.laar.questions import COUPLED, INDEPENDENT, draw_questions
from loadgen.reproduce.laar.results import Results, geometric_mean
from loadgen.reproduce.laar.runs import CONCURRENCY, Task, run_task
from loadgen.virtual.knowledge import Level, features

SHORT, LONG = Cell(4_096, Language.ENGLISH), Cell(65_536, Language.CHINESE)
TABLE = {cell: chances for cell, chances in accuracy_table(FITTED).items() if cell in {SHORT, LONG}}


def task(arm: str, *, keeps_prefixes: bool = True) -> Task:
    """An arm on two cells with twelve questions each."""
    return Task(
        arm=arm,
        values=ARMS[arm].values[-2:],
        table=TABLE,
        seed=3,
        count=12,
        correlation=COUPLED,
        keeps_prefixes=keeps_prefixes,
    )


@pytest.fixture(scope="module")
def results() -> Results:
    """Every arm, run once."""
    return Results([point for arm in ARMS for point in run_task(task(arm))], seed=1)


def failures_together(correlation: float) -> float:
    """Correlation of two models' answers when each is right on every second question."""
    table = {SHORT: dict.fromkeys(MODELS, 0.5)}
    drawn = draw_questions(table, seed=1, count=2_000, correlation=correlation)[SHORT].fit
    first, second = ([question.correct[model] for question in drawn] for model in MODELS[:2])
    return float(np.corrcoef(first, second)[0, 1])


def test_questions_meet_the_table() -> None:
    """Shares of right answers are the table's, whatever the coupling."""
    for correlation in (COUPLED, INDEPENDENT):
        drawn = draw_questions({SHORT: TABLE[SHORT]}, seed=1, count=600, correlation=correlation)[SHORT]
        for model in MODELS:
            share = np.mean([question.correct[model] for question in drawn.fit + drawn.held_out])
            assert share == pytest.approx(TABLE[SHORT][model], abs=0.05)


def test_failures_hang_together_unless_drawn_apart() -> None:
    """A latent correlation of 0.6 is one of 0.4 between right and wrong; none is none."""
    assert failures_together(COUPLED) == pytest.approx(2 / np.pi * np.arcsin(COUPLED), abs=0.1)
    assert failures_together(INDEPENDENT) == pytest.approx(0.0, abs=0.1)


def test_a_prompt_shows_its_length_and_language() -> None:
    """Bytes grow with tokens, and the script of the question is seen in the longest prompts."""
    drawn = draw_questions(TABLE, seed=1, count=1, correlation=COUPLED)
    short, long = drawn[SHORT].fit[0], drawn[LONG].fit[0]
    assert len(long.text) == pytest.approx(16 * len(short.text), rel=0.05)
    assert [0.0, 0.0] == features(short, Level.LANGUAGE)[2:].tolist()
    assert [0.0, 1.0] == features(long, Level.LANGUAGE)[2:].tolist()


def test_a_run_asks_every_question_with_so_many_clients() -> None:
    """No more requests than clients are under way at once."""
    for point in run_task(task("laar")):
        stories = point.run.stories
        assert 12 == len(stories)
        for story in stories:
            beside = [s for s in stories if s.arrived_seconds <= story.arrived_seconds < s.ended_seconds]
            assert 1 <= len(beside) <= CONCURRENCY


def test_no_arm_passes_its_retry_cap(results: Results) -> None:
    """Ten attempts at most where an arm asks models again, one per model where it does not."""
    for arm in ARMS:
        asks_again = arm in {"laar_soft", "load_aware", "session_affinity"}
        most = max(story.attempts for point in run_task(task(arm)) for story in point.run.stories)
        assert most <= (10 if asks_again else len(MODELS))
    assert results.summary("session_affinity").figures["attempts"].value > 3.0


def test_who_asks_everybody_solves_what_any_model_can(results: Results) -> None:
    """LAAR at its cap and our arms without a stop end at the same success."""
    successes = {
        arm: results.summary(arm).figures["success"].value
        for arm in ("laar", "load_aware_others", "plan", "router_verified", "router_judged")
    }
    assert 1 == len({round(success, 9) for success in successes.values()}), successes


def test_an_arm_is_as_fast_as_itself(results: Results) -> None:
    """Against its own points, those left out that it beats itself, every ratio is 1."""
    found = results.equal("load_aware_others", "load_aware_others", "mean_seconds_all")
    assert {4_096, 65_536} == {equal.length for equal in found}
    for equal in found:
        assert equal.value == pytest.approx(1.0)
    mean = geometric_mean(found)
    assert mean.low <= 1.0 <= mean.high


def test_prefix_caches_help_who_asks_again() -> None:
    """Session affinity's retries are cheap only with them."""
    cached, bare = (
        Results(run_task(task("session_affinity", keeps_prefixes=keeps)), seed=1).summary("session_affinity")
        for keeps in (True, False)
    )
    assert cached.figures["mean_seconds_all"].value < 0.7 * bare.figures["mean_seconds_all"].value
    assert cached.figures["success"].value == bare.figures["success"].value


def test_findings_have_figures_and_different_keys(results: Results) -> None:
    """Everything but the measurement study, which is an input, is measured."""
    findings = [*published_findings(results, results), *our_findings(results, results)]
    assert len({finding.key for finding in findings}) == len(findings)
    for finding in findings:
        assert (finding.ours is None) == (finding.verdict is Verdict.NOT_REPRODUCED)


def test_exhibits_show_every_language_and_comparison(results: Results) -> None:
    """A chart of times per language, one of success, one of ratios; a row per comparison."""
    assert 4 == len(charts(results))
    expected = sum(
        len(results.equal(arm, rival, "mean_seconds_all"))
        for rival in ("laar", "load_aware_others")
        for arm in ("plan", "router_verified", "router_judged")
    )
    assert expected == len(equal_rows(results).rows)
