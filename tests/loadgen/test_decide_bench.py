from __future__ import annotations

import numpy as np
import pytest
from rich.console import Console

from extproc.decide.order import Policy
from extproc.router import Router
from loadgen.decide_bench.measure import CASES, Case, Extent, Measured, measure, other_microseconds
from loadgen.decide_bench.report import show, summary
from loadgen.decide_bench.stand import IN_FLIGHT, Workshop
from loadgen.decide_bench.stopwatch import STAGES, WHOLE, watching
from loadgen.questions.generated import generate_questions


@pytest.fixture(scope="module")
def workshop() -> Workshop:
    """Stands over generated questions."""
    return Workshop(generate_questions("zeroeval", seed=1, count=300), seed=1)


def test_a_stand_keeps_its_load_bounded(workshop: Workshop) -> None:
    """Instances are shared out among the models, and old decisions leave the book as new ones come."""
    stand = workshop.stand(13)
    for _ in range(IN_FLIGHT + 20):
        facts, now, decision_id = stand.next_request()
        stand.router.route(facts, now=now, decision_id=decision_id)

    table = stand.router.book.table
    assert [4, 3, 3, 3] == table.rows_per_model(table.rows).tolist()
    assert IN_FLIGHT == stand.router.book.in_flight
    assert max(stand.router.book.scrape_age_seconds(now).values()) < 1.01


def test_a_fleet_has_an_instance_of_every_model(workshop: Workshop) -> None:
    """Fewer instances than models are refused."""
    with pytest.raises(ValueError, match="at least 4"):
        workshop.stand(3)


def test_watching_times_every_stage_and_puts_everything_back(workshop: Workshop) -> None:
    """Each stage is called once per decision, the parts take no longer than the whole, and nothing stays replaced."""
    before = [getattr(owner, attribute) for _, _, owner, attribute in STAGES]
    stand = workshop.stand(4)
    with watching() as found:
        for _ in range(5):
            facts, now, decision_id = stand.next_request()
            stand.router.route(facts, now=now, decision_id=decision_id)

    assert {name: 5 for name, _, _, _ in STAGES} == {name: len(times) for name, times in found.items()}
    parts = sum(sum(found[name]) for name, depth, _, _ in STAGES if depth == 1)
    assert 0 < parts < sum(found[WHOLE])
    assert before == [getattr(owner, attribute) for _, _, owner, attribute in STAGES]


def test_watching_ends_with_an_error_too() -> None:
    """What was replaced is put back when the block fails."""
    route = Router.route
    with pytest.raises(KeyError), watching():
        raise KeyError

    assert route is Router.route


def test_every_case_is_measured_in_every_round(workshop: Workshop) -> None:
    """The warm-up round is left out, and the progress bar ends full."""
    cases = (Case(4, Policy.FIRST_CORRECT), Case(5, Policy.LEAST_WORK))
    extent = Extent(rounds=2, decisions=3, cases=cases, staged=cases[:1])
    steps: list[int] = []
    measured = measure(workshop, extent, on_step=lambda: steps.append(1))

    assert extent.steps == len(steps)
    for times in (measured.microseconds, measured.cpu_microseconds):
        assert {case: [3, 3] for case in cases} == {case: [len(t) for t in times[case]] for case in cases}
    assert 6 == len(measured.stages[4][WHOLE])


def measured_as(small: float, large: float, paper: float) -> Measured:
    """Decisions that all took the given microseconds, by size."""
    took = {13: paper, 1024: large}
    times = {case: [np.full(10, took.get(case.instances, small))] * 3 for case in CASES}
    stages = {name: np.full(4, 2.0 if depth else 30.0) for name, depth, _, _ in STAGES}
    return Measured(microseconds=times, cpu_microseconds=times, stages={13: stages, 1024: stages})


def test_the_summary_holds_figures_against_their_aims() -> None:
    """Times faster than the paper, growth with the fleet, and whether each aim is met."""
    extent = Extent(rounds=3, decisions=10)
    good = summary(measured_as(200.0, 300.0, 100.0), extent, seed=1, is_recorded=True)
    assert [280.0, 320.0] == pytest.approx(good["paper"]["times_faster"])
    assert 1.5 == pytest.approx(good["growth"]["ratio"])
    assert good["paper"]["is_met"]
    assert good["growth"]["is_met"]

    poor = summary(measured_as(100.0, 500.0, 301.0), extent, seed=1, is_recorded=True)
    assert not poor["paper"]["is_met"]
    assert not poor["growth"]["is_met"]


def test_what_no_stage_names_is_told() -> None:
    """The remainder is the whole less the stages of the first depth."""
    measured = measured_as(1.0, 1.0, 1.0)
    named = sum(1 for _, depth, _, _ in STAGES if depth == 1)

    assert 30.0 - 2.0 * named == other_microseconds(measured.stages[13])


def test_tables_say_what_was_aimed_at() -> None:
    """Both verdicts and a row for every policy are printed."""
    console = Console(record=True, width=120)
    document = summary(
        measured_as(100.0, 500.0, 90.0), Extent(rounds=3, decisions=10), seed=1, is_recorded=False
    )
    show(document, console)
    text = console.export_text()

    assert "311 to 356 times" in text
    assert "aim: up to 4, missed" in text
    for policy in Policy:
        assert policy.value in text
