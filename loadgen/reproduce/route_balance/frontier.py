"""Several points in quality, price and latency against several others: hypervolume and coverage.

A point is (shortfall in quality, price, latency), each divided by the reference's, so that less is better and the
reference is (1, 1, 1).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


def hypervolume(points: Floats) -> float:
    """Volume between points and the reference (1, 1, 1), 0 to 1: what they dominate of the unit cube (Zitzler 1999).

    Args:
        points: Shape (points, 3), each coordinate at least 0; what is beyond the reference counts for nothing.
    """
    inside = points[(points < 1.0).all(axis=1)]
    inside = inside[np.argsort(inside[:, 0], kind="stable")]
    edges = np.append(inside[:, 0], 1.0)
    volume = 0.0
    for count in range(1, len(inside) + 1):
        depth = edges[count] - edges[count - 1]
        if depth > 0.0:
            volume += depth * _area(inside[:count, 1:])
    return float(volume)


def _area(points: Floats) -> float:
    """What points dominate of the unit square."""
    area, lowest = 0.0, 1.0
    for x, y in points[np.argsort(points[:, 0], kind="stable")]:
        if y < lowest:
            area += (1.0 - x) * (lowest - y)
            lowest = y
    return area


def dominated(points: Floats, by: Floats) -> Mask:
    """Which points another one of `by` is as good as in everything and better than in something."""
    others, own = by[np.newaxis], points[:, np.newaxis]
    is_no_worse: Mask = np.all(others <= own, axis=2)
    is_better: Mask = np.any(others < own, axis=2)
    result: Mask = np.any(is_no_worse & is_better, axis=1)
    return result


def front(x: Floats, y: Floats) -> npt.NDArray[np.int64]:
    """Positions of the points that no other beats in low x and high y, in order of x."""
    best, kept = -np.inf, []
    for position in np.lexsort((-y, x)):
        if y[position] > best:
            best = y[position]
            kept.append(int(position))
    return np.array(kept, dtype=np.int64)
