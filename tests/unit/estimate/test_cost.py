from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.estimate.cost import PriceTable, expected_plan_usd
from extproc.fleet.snapshot import FleetTable
from extproc.fleet.topology import Cluster, Fleet, Price


@pytest.fixture
def prices(make_cluster: Callable[..., Cluster], make_fleet: Callable[..., Fleet]) -> PriceTable:
    """Two instances at 0.1 and 0.2 dollars per million tokens, then two at 1 and 4."""
    dear = Price(input_usd_per_mtok=1.0, output_usd_per_mtok=4.0)
    fleet = make_fleet(make_cluster("a-short"), make_cluster("b-long", pool="long", price=dear))
    return PriceTable.of(FleetTable.of(fleet))


def test_tokens_cost_their_price(prices: PriceTable) -> None:
    """A thousand prompt tokens and a hundred output tokens at each cluster's prices."""
    found = prices.attempt_usd(np.array([0, 2]), prompt_tokens=1000, output_tokens=100)

    assert [pytest.approx(1e-4 + 2e-5), pytest.approx(1e-3 + 4e-4)] == found.tolist()


def test_every_choice_is_paid_for(prices: PriceTable) -> None:
    """Three answers cost three times the output, the prompt once."""
    found = prices.attempt_usd(np.array([2]), prompt_tokens=1000, output_tokens=100, sequences=3)

    assert [pytest.approx(1e-3 + 3 * 4e-4)] == found.tolist()


def test_tokens_may_differ_by_row(prices: PriceTable) -> None:
    """Each row has its own tokenizer and its own length of answers."""
    found = prices.attempt_usd(
        np.array([0, 2]), prompt_tokens=np.array([1000.0, 2000.0]), output_tokens=np.array([0.0, 100.0])
    )

    assert [pytest.approx(1e-4), pytest.approx(2e-3 + 4e-4)] == found.tolist()


def test_later_attempts_are_paid_for_as_often_as_they_are_reached() -> None:
    """The second attempt costs its price times the chance that the first one fails."""
    assert pytest.approx(1.0 + 0.25 * 2.0 + 0.25 * 0.5 * 4.0) == expected_plan_usd(
        np.array([1.0, 2.0, 4.0]), np.array([0.75, 0.5, 0.9])
    )


def test_no_attempts_cost_nothing() -> None:
    """An empty plan is free."""
    assert 0.0 == expected_plan_usd(np.array([]), np.array([]))


@given(st.lists(st.tuples(st.floats(0, 10), st.floats(0, 1)), min_size=1, max_size=6))
def test_a_plan_costs_between_its_first_attempt_and_all_of_them(plan: list[tuple[float, float]]) -> None:
    """Retries never make a plan cheaper than its first attempt, nor dearer than all attempts together."""
    costs, chances = np.array(plan).T

    found = expected_plan_usd(costs, chances)

    assert costs[0] <= found * (1 + 1e-9) + 1e-12
    assert found <= costs.sum() * (1 + 1e-9)
