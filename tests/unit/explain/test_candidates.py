from __future__ import annotations

from collections.abc import Callable

import pytest

from extproc.explain.candidates import Weighed, candidate_views
from extproc.explain.records import CandidateView
from extproc.explain.world import World, decide

MakeWorld = Callable[..., World]


def views(world: World) -> list[CandidateView]:
    decided = decide(world)
    weighed = Weighed.of(decided)
    assert weighed is not None
    return list(candidate_views(decided, weighed))


def test_intervals_hold_their_estimates(make_world: MakeWorld) -> None:
    """Chance, output length and price lie between their ends, times below their upper bound."""
    for view in views(make_world(load={"10.0.0.1:8000": 9})):
        for interval in (view.chance, view.output_tokens, view.usd):
            assert interval.low is not None
            assert interval.low < interval.expected < interval.high
        assert 0.0 < view.ttft_seconds.expected < view.ttft_seconds.high
        assert view.ttft_seconds.expected < view.total_seconds.expected < view.total_seconds.high


def test_the_plans_instances_come_first_in_its_order(make_world: MakeWorld) -> None:
    """Then the others by their score."""
    found = views(make_world(headers={"x-ttca-expect": "exact:x"}))
    places = [view.place for view in found]

    assert [1, 2, 3, 4, None] == places
    assert sorted((v.score or 0.0 for v in found[4:]), reverse=True) == [v.score for v in found[4:]]


def test_a_policy_without_a_forecast_gets_one_for_the_explanation(make_world: MakeWorld) -> None:
    """The figures are the same; what was ranked by is the predicted work, smallest first."""
    by_work = {view.address: view for view in views(make_world("least_work"))}
    forecast = {view.address: view for view in views(make_world())}

    assert by_work.keys() == forecast.keys()
    for address, view in by_work.items():
        assert forecast[address].total_seconds == view.total_seconds
        assert forecast[address].chance == view.chance
        assert () == view.terms
    first = min(by_work.values(), key=lambda view: view.score or 0.0)
    assert 1 == first.place


def test_the_clients_limit_bounds_length_and_price(make_world: MakeWorld) -> None:
    """No answer is longer than the client allows."""
    for view in views(make_world(max_tokens=20)):
        assert 20.0 == view.output_tokens.high
        assert 10.0 < view.output_tokens.expected <= 20.0


@pytest.mark.parametrize("model", ["unheard-of", ""])
def test_a_refused_request_weighs_nobody(make_world: MakeWorld, model: str) -> None:
    """There is nothing to list."""
    assert Weighed.of(decide(make_world(model=model))) is None
