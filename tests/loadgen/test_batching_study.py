from __future__ import annotations

import numpy as np
import pytest

from extproc.decide.order import Policy
from loadgen.batching.gates import RULES
from loadgen.batching.report import document, page
from loadgen.batching.study import Row, Scenario, paired, run_point, run_study
from loadgen.questions.generated import generate_questions
from loadgen.virtual.arms import Workbench
from loadgen.virtual.summary import Figure

SCENARIO = Scenario(policy=Policy.ROUTE_BALANCE, rate=20.0, in_bursts=True, load="some")


@pytest.fixture(scope="module")
def bench() -> Workbench:
    """Generated questions, so that nothing depends on the data folder."""
    return Workbench(generate_questions("zeroeval", seed=1, count=400))


def row(value: float, low: float, high: float) -> Row:
    figure = Figure(value, low, high)
    return Row(
        scenario=SCENARIO,
        rule=RULES[3],
        mean_seconds=1.5,
        mean_change=figure,
        p95_change=figure,
        success_change=figure,
    )


def test_the_interval_of_paired_differences_is_students() -> None:
    """Mean 2, deviation 1 over three seeds: 2 ± 4.303 / sqrt(3)."""
    figure = paired(np.array([1.0, 2.0, 3.0]))

    assert (2.0, 2.0 - 4.303 / 3**0.5, 2.0 + 4.303 / 3**0.5) == pytest.approx(
        (figure.value, figure.low, figure.high)
    )


@pytest.mark.parametrize(
    ("low", "high", "verdict"), [(-0.2, -0.1, "faster"), (0.1, 0.2, "slower"), (-0.1, 0.1, "no difference")]
)
def test_a_verdict_needs_an_interval_on_one_side(low: float, high: float, verdict: str) -> None:
    """What may be nothing is called nothing."""
    assert verdict == row((low + high) / 2, low, high).verdict


def test_a_run_hangs_on_its_seed_alone(bench: Workbench) -> None:
    """The same seed gives the same figures, another seed others; a window of 200 ms costs a light load about its mean wait."""
    first = run_point(bench, SCENARIO, 0, requests=60, seed=1)
    light = Scenario(policy=Policy.ROUTE_BALANCE, rate=0.5, in_bursts=False, load="hardly any")
    alone, held = (run_point(bench, light, rule, requests=60, seed=1) for rule in (0, len(RULES) - 1))

    assert first == run_point(bench, SCENARIO, 0, requests=60, seed=1)
    assert first != run_point(bench, SCENARIO, 0, requests=60, seed=2)
    assert 0.15 < held.mean_seconds - alone.mean_seconds < 0.25


@pytest.mark.parametrize(("requests", "seeds"), [(19, 2), (100, 1), (100, 16)])
def test_a_study_too_small_to_say_anything_is_refused(bench: Workbench, requests: int, seeds: int) -> None:
    """With one seed there is no interval."""
    with pytest.raises(ValueError, match=r"short|seeds"):
        run_study(bench, (SCENARIO,), requests=requests, seeds=seeds, processes=1, on_run=lambda: None)


def test_page_and_figures_say_what_was_run() -> None:
    """Verdict, intervals, and whether the questions were recorded."""
    rows = (row(0.05, 0.01, 0.09),)
    text = page(rows, is_recorded=False, requests=600, seeds=10)
    figures = document(rows, is_recorded=False, requests=600, seeds=10)

    assert "generated ones" in text
    assert "Of 1 comparisons, 0 came out faster and 1 slower" in text
    assert "| RouteBalance's windows, longest first | 1.50 | +5.0% [+1.0%, +9.0%] |" in text
    assert "slower |" in text
    assert "slower" == figures["rows"][0]["verdict"]
