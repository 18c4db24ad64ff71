from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from extproc.decide.order import Policy, order
from extproc.fleet.snapshot import FleetSnapshot
from extproc.fleet.topology import Fleet


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (Policy.LEAST_WORK, [3, 1, 0, 2]),
        (Policy.SHORTEST_QUEUE, [2, 0, 3, 1]),
        (Policy.ROUND_ROBIN, [0, 3, 2, 1]),
    ],
)
def test_each_policy_sorts_by_its_own_key(
    make_fleet: Callable[..., Fleet],
    make_snapshot: Callable[..., FleetSnapshot],
    policy: Policy,
    expected: list[int],
) -> None:
    """Work, sequences present, or the time since the last assignment."""
    snapshot = make_snapshot(make_fleet(), sequences=[2, 9, 1, 4], last_assigned=[1, 8, 5, 3])
    work = np.array([3.0, 2.0, 4.0, 1.0])

    assert expected == order(policy, np.arange(4), work, snapshot, np.random.default_rng(1)).tolist()


@pytest.mark.parametrize("policy", list(Policy))
def test_suspects_come_last_under_every_policy(
    make_fleet: Callable[..., Fleet], make_snapshot: Callable[..., FleetSnapshot], policy: Policy
) -> None:
    """Whatever a policy prefers, a suspect instance is only a last resort."""
    snapshot = make_snapshot(make_fleet(), suspect=[True, False, False, False])
    positions = order(
        policy, np.arange(4), np.array([0.0, 1.0, 1.0, 1.0]), snapshot, np.random.default_rng(1)
    )

    assert positions[-1] == 0


def test_ties_go_to_whom_was_assigned_longest_ago(
    make_fleet: Callable[..., Fleet], make_snapshot: Callable[..., FleetSnapshot]
) -> None:
    """Equal work is spread in turn."""
    snapshot = make_snapshot(make_fleet(), last_assigned=[4, 2, 3, 1])

    assert [3, 1, 2, 0] == order(
        Policy.LEAST_WORK, np.arange(4), np.ones(4), snapshot, np.random.default_rng(1)
    ).tolist()


def test_random_depends_on_the_generator_alone(
    make_fleet: Callable[..., Fleet], make_snapshot: Callable[..., FleetSnapshot]
) -> None:
    """The same seed gives the same order; over many draws everybody comes first at times."""
    snapshot = make_snapshot(make_fleet())

    def draws(seed: int) -> list[int]:
        rng = np.random.default_rng(seed)
        return [int(order(Policy.RANDOM, np.arange(4), np.ones(4), snapshot, rng)[0]) for _ in range(40)]

    assert draws(7) == draws(7)
    assert {0, 1, 2, 3} == set(draws(7))
