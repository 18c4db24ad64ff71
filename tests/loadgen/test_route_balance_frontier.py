"""Hypervolume, dominance and fronts by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.reproduce.route_balance.frontier import dominated, front, hypervolume

COORDINATES = st.floats(0.0, 0.99)
POINTS = st.lists(st.tuples(COORDINATES, COORDINATES, COORDINATES), min_size=1, max_size=8)


def test_the_volume_of_one_point_is_its_box() -> None:
    """One point dominates the box between itself and the reference."""
    assert 0.5 * 0.8 * 0.9 == pytest.approx(hypervolume(np.array([[0.5, 0.2, 0.1]])))


def test_overlap_counts_once() -> None:
    """Two boxes that overlap fill their union, counted by inclusion and exclusion."""
    first, second = 0.5 * 0.8 * 0.9, 0.8 * 0.5 * 0.6
    both = 0.5 * 0.5 * 0.6
    assert first + second - both == pytest.approx(hypervolume(np.array([[0.5, 0.2, 0.1], [0.2, 0.5, 0.4]])))


def test_beyond_the_reference_nothing_counts() -> None:
    """A point worse than the reference in one thing dominates nothing."""
    assert 0.0 == hypervolume(np.array([[0.1, 0.1, 1.2]]))


@given(points=POINTS, another=st.tuples(COORDINATES, COORDINATES, COORDINATES))
def test_another_point_never_takes_volume_away(
    points: list[tuple[float, float, float]], another: tuple[float, float, float]
) -> None:
    """The volume grows, or stays when the new point is dominated."""
    before, after = hypervolume(np.array(points)), hypervolume(np.array([*points, another]))
    assert before - 1e-12 <= after
    if dominated(np.array([another]), np.array(points))[0]:
        assert before == pytest.approx(after)


def test_the_volume_agrees_with_counting_random_darts() -> None:
    """Ten random points dominate the share of the cube that darts say, within three standard errors."""
    rng = np.random.default_rng(4)
    points, darts = rng.random((10, 3)), rng.random((40_000, 3))
    is_hit = np.all(points[np.newaxis] <= darts[:, np.newaxis], axis=2)
    hits = float(np.mean(np.any(is_hit, axis=1)))
    error = np.sqrt(hits * (1 - hits) / len(darts))
    assert abs(hits - hypervolume(points)) < 3 * error


def test_equal_points_do_not_dominate_each_other() -> None:
    """Being as good in everything is not enough."""
    points = np.array([[0.2, 0.3, 0.4]])
    assert [False] == dominated(points, points).tolist()
    assert [True] == dominated(points, points - np.array([0.0, 0.0, 0.1])).tolist()


def test_a_front_rises() -> None:
    """Only points that no other beats stay, from the cheapest on."""
    x, y = np.array([3.0, 1.0, 2.0, 2.0]), np.array([0.9, 0.5, 0.4, 0.6])
    assert [1, 3, 0] == front(x, y).tolist()
