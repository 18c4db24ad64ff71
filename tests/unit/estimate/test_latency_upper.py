from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from extproc.estimate.latency_filter import LEVELS
from extproc.estimate.latency_upper import UpperFactors

ROWS = 5


@pytest.mark.parametrize("spread", [0.0, 0.4, np.array([0.0, 0.3, 0.0, 0.6, 0.9])])
def test_one_position_is_as_all(spread: float | npt.NDArray[np.float64]) -> None:
    """The factor of one position is the figure that stands there among all, at any level of load and any spread."""
    rng = np.random.default_rng(1)
    rows = rng.permutation(ROWS)
    logs = rng.normal(0.5, 0.2, (2 * LEVELS, ROWS))
    upper = UpperFactors(logs=logs, rows=rows, quantile=0.9, output_log_spread=spread)
    for _ in range(20):
        alone, decode = rng.random(ROWS), rng.random(ROWS)
        found = [upper.total_at(p, float(alone[p]), float(decode[p])) for p in range(ROWS)]
        assert upper.total(alone, decode).tolist() == pytest.approx(found, rel=1e-12)


def test_levels_follow_the_load() -> None:
    """An idle instance takes the first level's factor, a crowded one the last one's; TTFT and total have their own."""
    logs = np.log(np.array([[1.1], [1.2], [1.3], [2.1], [2.2], [2.3]]))
    upper = UpperFactors(logs=logs, rows=np.zeros(3, dtype=np.int64), quantile=0.9)
    alone = np.array([1.0, 0.5, 0.1])

    assert pytest.approx([1.1, 1.2, 1.3]) == upper.ttft(alone).tolist()
    assert pytest.approx([2.1, 2.2, 2.3]) == upper.total(alone, np.ones(3)).tolist()


def test_an_unknown_length_widens() -> None:
    """The spread of the length counts as far as decoding makes the total, like an independent error."""
    logs = np.full((2 * LEVELS, 1), 0.3)
    upper = UpperFactors(
        logs=logs, rows=np.zeros(1, dtype=np.int64), quantile=0.8413447460685429, output_log_spread=0.4
    )

    assert pytest.approx(np.exp(0.3)) == upper.total_at(0, 1.0, 0.0)
    assert pytest.approx(np.exp(0.5)) == upper.total_at(0, 1.0, 1.0)
