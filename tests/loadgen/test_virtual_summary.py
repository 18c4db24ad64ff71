from __future__ import annotations

import numpy as np
import pytest

from loadgen.questions.question import Question
from loadgen.virtual.frontier import at_success, compare
from loadgen.virtual.simulation import Run, Story
from loadgen.virtual.summary import Summary, summarize


def a_run(seconds: list[float], solved: list[bool]) -> Run:
    stories = [
        Story(
            question=Question(
                key=f"q{number % 50}",
                kind="k",
                text="t",
                prompt_tokens=1,
                correct={},
                output_tokens={},
            ),
            arrived_seconds=1.0,
            ended_seconds=1.0 + taken,
            is_solved=is_solved,
            attempts=2,
            prompt_tokens=10,
            output_tokens=5,
            usd=0.5,
        )
        for number, (taken, is_solved) in enumerate(zip(seconds, solved, strict=True))
    ]
    return Run(stories=tuple(stories), busy_seconds={"a": 5.0, "b": 15.0}, preemptions=3, seconds=20.0)


def figures(summary: Summary) -> dict[str, float]:
    return {name: figure.value for name, figure in summary.figures.items()}


def test_figures_are_those_of_the_requests_after_the_warm_up() -> None:
    """Times of solved requests and of all are kept apart, and costs are per correct answer."""
    seconds = [99.0] * 20 + [1.0, 3.0] * 90
    found = figures(summarize(a_run(seconds, [False] * 20 + [True, False] * 90), knob=1.0, seed=1))
    assert (0.5, 1.0, 2.0) == (found["success"], found["ttca_mean_seconds"], found["mean_seconds_all"])
    assert (30.0, 1.0, 2.0) == (found["tokens_per_correct"], found["usd_per_correct"], found["attempts"])


def test_quantiles_of_ttca_are_over_solved_requests() -> None:
    """Median and 95th percentile are read off the solved ones' times."""
    seconds = [float(number) for number in range(1, 101)]
    found = figures(summarize(a_run([0.0] * 12 + seconds, [True] * 112), knob=1.0, seed=1))
    assert (50.0, 95.0) == (found["ttca_p50_seconds"], found["ttca_p95_seconds"])


def test_intervals_enclose_the_figure_and_shrink_when_all_are_alike() -> None:
    """Resampling identical requests gives a point; different ones an interval around the figure."""
    alike = summarize(a_run([2.0] * 100, [True] * 100), knob=1.0, seed=1).figures["mean_seconds_all"]
    mixed = summarize(a_run(np.linspace(0, 9, 100).tolist(), [True] * 100), knob=1.0, seed=1).figures[
        "mean_seconds_all"
    ]
    assert (2.0, 2.0) == (alike.low, alike.high)
    assert mixed.low < mixed.value < mixed.high


def test_a_run_too_short_is_refused() -> None:
    """Nine requests tell nothing."""
    with pytest.raises(ValueError, match="too short"):
        summarize(a_run([1.0] * 9, [True] * 9), knob=1.0, seed=1)


def test_a_frontier_is_read_off_between_its_points_and_nowhere_else() -> None:
    """Linear between points, NaN beyond them."""
    success, seconds = np.array([0.8, 0.6]), np.array([9.0, 3.0])
    assert pytest.approx(6.0) == at_success(success, seconds, 0.7)
    assert np.isnan(at_success(success, seconds, 0.81))


def test_an_arm_is_compared_at_the_baselines_success() -> None:
    """Half the time at the same success is a ratio of one half; a success out of reach is no comparison."""
    share = [number % 10 < 6 for number in range(200)]
    low = summarize(a_run([1.0] * 200, [number % 10 < 4 for number in range(200)]), knob=1.0, seed=1)
    high = summarize(a_run([3.0] * 200, [number % 10 < 8 for number in range(200)]), knob=2.0, seed=1)
    base = summarize(a_run([4.0] * 200, share), knob=3.0, seed=1)
    found = compare([low, high], base)
    assert found is not None
    assert pytest.approx(0.5) == found.all_ratio.value
    assert compare([low], high) is None
