from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from extproc.decide.plan import TokenBudget
from extproc.decide.pools import PoolChoice, choose_pool
from extproc.errors import BadRequestError
from extproc.fleet.snapshot import FleetSnapshot
from extproc.fleet.topology import Cluster, Fleet, Pool

Budget = Callable[..., TokenBudget]


@pytest.fixture
def choose(
    make_cluster: Callable[..., Cluster], make_snapshot: Callable[..., FleetSnapshot]
) -> Callable[..., PoolChoice]:
    """Choose in a fleet of a short pool (rows 0, 1; threshold 4096, limit 8192) and a long one (rows 2, 3; 65536)."""
    fleet = Fleet(
        clusters=(
            make_cluster("a-short", max_model_len=8192),
            make_cluster("a-long", pool="long", max_model_len=65536),
        ),
        pools=(
            Pool(name="short", threshold_tokens=4096, spill_at=0.75),
            Pool(name="long", threshold_tokens=None, spill_at=0.75),
        ),
    )

    def choose(budget: TokenBudget, **arrays: object) -> PoolChoice:
        return choose_pool(budget, np.arange(4), make_snapshot(fleet, **arrays))

    return choose


@pytest.mark.parametrize(
    ("total", "rows", "reason"),
    [
        (4096, [0, 1], "threshold"),
        (4097, [2, 3], "threshold"),
        (8192, [2, 3], "threshold"),
        (8193, [2, 3], "threshold"),
        (65536, [2, 3], "threshold"),
    ],
)
def test_the_threshold_decides_when_nobody_is_busy(
    choose: Callable[..., PoolChoice], make_budget: Budget, total: int, rows: list[int], reason: str
) -> None:
    """Budgets up to the threshold, itself included, go short; what is above goes long."""
    choice = choose(make_budget(total - 100))

    assert (rows, reason) == (choice.rows.tolist(), choice.reason)


def test_the_threshold_is_held_against_the_expected_budget(
    choose: Callable[..., PoolChoice], make_budget: Budget
) -> None:
    """A conservative figure above the threshold keeps a request short as long as it surely fits there."""
    fits = choose(make_budget(3900, 100, upper=5000))
    too_large = choose(make_budget(3900, 100, upper=8100))

    assert ([0, 1], "threshold") == (fits.rows.tolist(), fits.reason)
    assert ([2, 3], "capacity") == (too_large.rows.tolist(), too_large.reason)


def test_an_overloaded_short_pool_spills_into_the_long_one(
    choose: Callable[..., PoolChoice], make_budget: Budget
) -> None:
    """At the spill pressure (sequences over slots, mean) short requests are redirected to a calm long pool."""
    below = choose(make_budget(1000), sequences=[2, 3, 0, 0])
    at = choose(make_budget(1000), sequences=[3, 3, 0, 0])

    assert ([0, 1], "threshold") == (below.rows.tolist(), below.reason)
    assert ([2, 3], "spill") == (at.rows.tolist(), at.reason)
    assert [0, 1] == at.others.tolist()


def test_an_overloaded_long_pool_spills_only_what_the_short_one_can_hold(
    choose: Callable[..., PoolChoice], make_budget: Budget
) -> None:
    """A budget between threshold and limit may go short; one beyond the limit stays, however long the queue."""
    fits = choose(make_budget(6000), sequences=[0, 0, 4, 4])
    exceeds = choose(make_budget(9000), sequences=[0, 0, 40, 40])

    assert ([0, 1], "spill") == (fits.rows.tolist(), fits.reason)
    assert ([2, 3], "threshold") == (exceeds.rows.tolist(), exceeds.reason)


def test_nothing_spills_when_every_pool_is_overloaded(
    choose: Callable[..., PoolChoice], make_budget: Budget
) -> None:
    """Moving load between two overloaded pools helps nobody."""
    choice = choose(make_budget(1000), sequences=[9, 9, 9, 9])

    assert ([0, 1], "threshold") == (choice.rows.tolist(), choice.reason)


def test_a_pool_of_suspects_hands_over(choose: Callable[..., PoolChoice], make_budget: Budget) -> None:
    """A pool without a healthy instance counts as overloaded."""
    choice = choose(make_budget(1000), suspect=[True, True, False, False])

    assert ([2, 3], "spill") == (choice.rows.tolist(), choice.reason)


def test_a_dead_pool_hands_over_even_to_an_overloaded_one(
    choose: Callable[..., PoolChoice], make_budget: Budget
) -> None:
    """A long queue in front of a healthy instance beats an instance that refuses connections."""
    choice = choose(make_budget(1000), suspect=[True, True, False, False], sequences=[0, 0, 9, 9])

    assert ([2, 3], "spill") == (choice.rows.tolist(), choice.reason)


def test_what_fits_nobody_is_refused_with_estimate_and_limit(
    choose: Callable[..., PoolChoice], make_budget: Budget
) -> None:
    """The error tells the estimate, the stated output and the largest limit."""
    with pytest.raises(BadRequestError, match=r"about 65500 tokens and 100 tokens .* is 65536") as caught:
        choose(make_budget(65500, 100))

    assert caught.value.reason == "context-length-exceeded"


def test_who_named_too_small_a_model_hears_of_the_larger_ones(
    make_cluster: Callable[..., Cluster],
    make_fleet: Callable[..., Fleet],
    make_snapshot: Callable[..., FleetSnapshot],
    make_budget: Budget,
) -> None:
    """Of those that have room and take requests; the limit is that of the model that was asked for."""
    fleet = make_fleet(
        make_cluster("a-short"), make_cluster("b-long", model="b", pool="long", max_model_len=65536)
    )
    expected = r"The model `a` cannot hold .* is 8192 tokens\. `b` could\. Shorten"
    with pytest.raises(BadRequestError, match=expected):
        choose_pool(make_budget(20_000), np.array([0, 1]), make_snapshot(fleet))
    draining = make_snapshot(fleet, usable=[True, True, False, False])
    with pytest.raises(BadRequestError, match=r"is 8192 tokens\. Shorten"):
        choose_pool(make_budget(20_000), np.array([0, 1]), draining)


def test_a_doubtful_fit_goes_to_the_largest_limit(
    choose: Callable[..., PoolChoice], make_budget: Budget
) -> None:
    """When only the conservative estimate exceeds the limit, the largest instances may judge for themselves."""
    choice = choose(make_budget(60000, 100, upper=70000))

    assert ([2, 3], "tight") == (choice.rows.tolist(), choice.reason)


def test_an_output_nobody_asked_for_refuses_nobody(
    choose: Callable[..., PoolChoice], make_budget: Budget
) -> None:
    """A learned output length is shortened by the instance, so only the prompt must fit."""
    choice = choose(make_budget(65000, 4000, given=False))

    assert ([2, 3], "tight") == (choice.rows.tolist(), choice.reason)


def test_capacity_overrides_a_threshold_that_is_set_too_high(
    make_cluster: Callable[..., Cluster],
    make_snapshot: Callable[..., FleetSnapshot],
    make_budget: Budget,
) -> None:
    """The hard limit of the instances comes before the pool's threshold."""
    fleet = Fleet(
        clusters=(make_cluster("s", max_model_len=2048), make_cluster("l", pool="long", max_model_len=65536)),
        pools=(
            Pool(name="short", threshold_tokens=8192, spill_at=1),
            Pool(name="long", threshold_tokens=None, spill_at=1),
        ),
    )
    choice = choose_pool(make_budget(3000), np.arange(4), make_snapshot(fleet))

    assert ([2, 3], "capacity") == (choice.rows.tolist(), choice.reason)


def test_a_model_without_a_long_pool_uses_what_it_has(
    make_cluster: Callable[..., Cluster],
    make_fleet: Callable[..., Fleet],
    make_snapshot: Callable[..., FleetSnapshot],
    make_budget: Budget,
) -> None:
    """When only one pool has candidates, thresholds do not keep a request that fits from being served."""
    snapshot = make_snapshot(make_fleet(make_cluster("a", max_model_len=16384)))
    choice = choose_pool(make_budget(9000), np.array([0, 1]), snapshot)

    assert ([0, 1], "capacity") == (choice.rows.tolist(), choice.reason)
