"""Two small solvers: non-negative least squares, and a simplex search for what has no formula."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]


def nonnegative_least_squares(rows: Vector, targets: Vector, *, sweeps: int = 5000) -> Vector:
    """Coefficients x >= 0 that minimise |rows x - targets|², by cyclic coordinate descent.

    Columns are brought to unit length first, since W in seconds and A per token differ by six orders.
    """
    scale = np.linalg.norm(rows, axis=0)
    scale[scale == 0.0] = 1.0
    unit = rows / scale
    gram, moments = unit.T @ unit, unit.T @ targets
    found = np.zeros(unit.shape[1])
    for _ in range(sweeps):
        before = found.copy()
        for column in range(len(found)):
            if gram[column, column] > 0.0:
                step = (moments[column] - gram[column] @ found) / gram[column, column]
                found[column] = max(0.0, found[column] + step)
        if np.max(np.abs(found - before)) <= 1e-12 * max(1.0, float(np.max(found))):
            break
    return np.asarray(found / scale, dtype=np.float64)


def simplex_search(
    loss: Callable[[Vector], float], start: Vector, *, step: float, evaluations: int
) -> Vector:
    """The point of least loss found by Nelder and Mead's simplex method (Computer Journal 7, 1965).

    Args:
        loss: What to minimise.
        start: First corner; the others lie `step` away along each axis.
        step: Size of the first simplex.
        evaluations: Most calls of `loss`.
    """
    corners = [start, *(start + step * axis for axis in np.eye(len(start)))]
    scored = [(loss(corner), corner) for corner in corners]
    used = len(scored)
    while used < evaluations:
        scored.sort(key=lambda pair: pair[0])
        centre = np.mean([corner for _, corner in scored[:-1]], axis=0)
        worst_loss, worst = scored[-1]
        moved = centre + (centre - worst)
        moved_loss = loss(moved)
        used += 1
        if moved_loss < scored[0][0]:
            farther = centre + 2.0 * (centre - worst)
            farther_loss = loss(farther)
            used += 1
            scored[-1] = (farther_loss, farther) if farther_loss < moved_loss else (moved_loss, moved)
        elif moved_loss < scored[-2][0]:
            scored[-1] = (moved_loss, moved)
        else:
            nearer = centre + 0.5 * ((moved if moved_loss < worst_loss else worst) - centre)
            nearer_loss = loss(nearer)
            used += 1
            if nearer_loss < min(moved_loss, worst_loss):
                scored[-1] = (nearer_loss, nearer)
            else:
                best = scored[0][1]
                shrunk = [best + 0.5 * (corner - best) for _, corner in scored[1:]]
                scored[1:] = [(loss(corner), corner) for corner in shrunk]
                used += len(shrunk)
    return min(scored, key=lambda pair: pair[0])[1]
