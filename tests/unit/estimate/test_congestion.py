from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.estimate.congestion import social_seconds


@given(
    base=st.floats(0.001, 0.1),
    per_sequence=st.floats(0.0001, 0.01),
    tokens=st.integers(1, 2000),
    busy=st.floats(0.0, 0.95),
)
def test_the_price_solves_the_balance_equation(
    base: float, per_sequence: float, tokens: int, busy: float
) -> None:
    """Of a chain that arrivals enter at a constant rate and n sequences leave at n / (S (W + H n))."""
    rate = busy / (tokens * per_sequence)
    mean = rate * tokens * (base + per_sequence) / (1.0 - busy)
    present = np.arange(6.0)
    own = tokens * (base + per_sequence * (present + 1.0))

    price = social_seconds(
        own, np.zeros(6), np.full(6, mean), np.full(6, per_sequence / (base + per_sequence))
    )

    leaving = present[1:] / (tokens * (base + per_sequence * present[1:]))
    balance = present[1:] - mean + rate * price[1:] - leaving * price[:-1]
    assert balance == pytest.approx(np.zeros(5), abs=1e-6 * (1.0 + mean))


def test_an_idle_instance_costs_the_own_time_alone() -> None:
    """Nobody is beside, and nobody usually is."""
    assert 3.0 == social_seconds(np.array([3.0]), np.zeros(1), np.zeros(1), np.array([0.1]))[0]
