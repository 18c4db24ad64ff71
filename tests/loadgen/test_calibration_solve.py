from __future__ import annotations

import numpy as np
import pytest

from loadgen.calibration.solve import Vector, nonnegative_least_squares, simplex_search


def test_positive_coefficients_are_recovered() -> None:
    """Figures six orders apart come out of noiseless equations."""
    truth = np.array([0.012, 7e-5, 4e-8])
    rows = np.random.default_rng(1).uniform(1.0, 2.0, (40, 3)) * np.array([1.0, 50.0, 5e4])
    assert truth == pytest.approx(nonnegative_least_squares(rows, rows @ truth), rel=1e-4)


def test_a_coefficient_that_would_be_negative_is_zero() -> None:
    """The best non-negative answer is found, not a clipped one."""
    rows = np.array([[1.0, 1.0], [1.0, 2.0], [1.0, 3.0]])
    assert [2.0, 0.0] == pytest.approx(nonnegative_least_squares(rows, np.array([3.0, 2.0, 1.0])).tolist())


def test_the_simplex_finds_the_bottom_of_a_valley() -> None:
    """Rosenbrock's valley is descended within the evaluations given."""
    calls = 0

    def valley(point: Vector) -> float:
        nonlocal calls
        calls += 1
        return float((1 - point[0]) ** 2 + 100 * (point[1] - point[0] ** 2) ** 2)

    found = simplex_search(valley, np.array([-1.2, 1.0]), step=0.5, evaluations=400)
    assert [1.0, 1.0] == pytest.approx(found.tolist(), abs=1e-2)
    assert calls <= 402
