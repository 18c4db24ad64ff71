from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from extproc.decide.first_correct import (
    DEFAULT_OBJECTIVE,
    SOFT_PENALTY,
    Ranking,
    rank_first_correct,
    rank_laar,
    rank_load_aware,
    rank_session_affinity,
)
from extproc.decide.order import Policy, order
from extproc.decide.policies import POLICIES, ByForecast, ByWork, Case, key_of
from extproc.decide.route_balance import QualityNorm
from extproc.decide.weights import PRESETS, Preset
from extproc.estimate.predictions import Predictions
from extproc.fleet.snapshot import FleetSnapshot
from extproc.fleet.topology import Cluster, Fleet
from extproc.sessions.book import SessionHistory


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (Policy.LEAST_WORK, [3, 1, 0, 2]),
        (Policy.DUAL_POOL, [3, 1, 0, 2]),
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

    assert expected == order(key_of(policy), np.arange(4), work, snapshot, np.random.default_rng(1)).tolist()


@pytest.mark.parametrize("policy", list(Policy))
def test_suspects_come_last_under_every_policy(
    make_fleet: Callable[..., Fleet], make_snapshot: Callable[..., FleetSnapshot], policy: Policy
) -> None:
    """Whatever a policy prefers, a suspect instance is only a last resort."""
    snapshot = make_snapshot(make_fleet(), suspect=[True, False, False, False])
    positions = order(
        key_of(policy), np.arange(4), np.array([0.0, 1.0, 1.0, 1.0]), snapshot, np.random.default_rng(1)
    )

    assert positions[-1] == 0


def test_ties_go_to_whom_was_assigned_longest_ago(
    make_fleet: Callable[..., Fleet], make_snapshot: Callable[..., FleetSnapshot]
) -> None:
    """Equal work is spread in turn."""
    snapshot = make_snapshot(make_fleet(), last_assigned=[4, 2, 3, 1])

    assert [3, 1, 2, 0] == order(
        key_of(Policy.LEAST_WORK), np.arange(4), np.ones(4), snapshot, np.random.default_rng(1)
    ).tolist()


def test_random_depends_on_the_generator_alone(
    make_fleet: Callable[..., Fleet], make_snapshot: Callable[..., FleetSnapshot]
) -> None:
    """The same seed gives the same order; over many draws everybody comes first at times."""
    snapshot = make_snapshot(make_fleet())

    def draws(seed: int) -> list[int]:
        rng = np.random.default_rng(seed)
        return [
            int(order(key_of(Policy.RANDOM), np.arange(4), np.ones(4), snapshot, rng)[0]) for _ in range(40)
        ]

    assert draws(7) == draws(7)
    assert {0, 1, 2, 3} == set(draws(7))


@pytest.fixture
def case(
    make_cluster: Callable[..., Cluster],
    make_fleet: Callable[..., Fleet],
    make_snapshot: Callable[..., FleetSnapshot],
    make_predictions: Callable[..., Predictions],
) -> Case:
    """Two models on two instances each; the session's last answer came from row 1, the slowest of all."""
    snapshot = make_snapshot(make_fleet(make_cluster("s", model="small"), make_cluster("l", model="large")))
    last = snapshot.table.addresses[1]
    return Case(
        predictions=make_predictions(
            snapshot, chances=(0.5, 0.9), seconds=(3.0, 12.0, 4.0, 10.0), usd=(1e-4, 1e-4, 1e-3, 1e-3)
        ),
        snapshot=snapshot,
        history=SessionHistory(attempts=1, failed_models=(), last_address=last, started_at=0.0),
        horizon=3,
        may_cut=False,
        objective=DEFAULT_OBJECTIVE,
        weights=PRESETS[Preset.COST],
        quality_norm=QualityNorm.RAW,
        laar_penalty=SOFT_PENALTY,
    )


def test_every_policy_is_in_the_table() -> None:
    """Each name has a rule; a rule either sorts by load or ranks by a forecast."""
    assert set(Policy) == set(POLICIES)
    assert all(isinstance(rule, ByWork | ByForecast) for rule in POLICIES.values())


def test_forecasting_policies_rank_by_their_own_rules(case: Case) -> None:
    """The table adds nothing to the published rules, and each sees the part of the case that it needs."""
    given, snapshot = case.predictions, case.snapshot
    expected: dict[Policy, Ranking] = {
        Policy.FIRST_CORRECT: rank_first_correct(given, snapshot, DEFAULT_OBJECTIVE, horizon=3),
        Policy.LAAR: rank_laar(given, snapshot, penalty=SOFT_PENALTY),
        Policy.LOAD_AWARE: rank_load_aware(given, snapshot),
        Policy.SESSION_AFFINITY: rank_session_affinity(given, snapshot, case.history),
    }
    found = {p: rule.rank(case) for p in expected if isinstance(rule := POLICIES[p], ByForecast)}

    assert expected == found
    assert {2, 0, 1} == {ranking.positions[0] for ranking in expected.values()}


def test_only_the_sequence_of_attempts_wants_conditional_chances() -> None:
    """Published rules look at a failed session in their own ways, or not at all."""
    assert [Policy.FIRST_CORRECT] == [
        policy for policy, rule in POLICIES.items() if isinstance(rule, ByForecast) and rule.is_conditional
    ]


def test_the_score_follows_its_weights(case: Case) -> None:
    """Cost takes the cheap model, quality the good one, latency the instance that is quickest."""
    rule = POLICIES[Policy.ROUTE_BALANCE]
    assert isinstance(rule, ByForecast)
    first = {
        preset: rule.rank(replace(case, weights=weights)).positions[0] for preset, weights in PRESETS.items()
    }

    assert {Preset.COST: 0, Preset.LATENCY: 0, Preset.QUALITY: 2, Preset.BALANCED: 0} == first
