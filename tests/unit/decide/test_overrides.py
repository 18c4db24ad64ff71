from __future__ import annotations

from collections.abc import Callable

import pytest

from extproc.decide.order import Policy
from extproc.decide.overrides import grant
from extproc.decide.planner import PlanPolicy
from extproc.decide.weights import PRESETS, Overrides, Preset, Range, Reference, Weights
from extproc.facts.wish import Wish

EVERYTHING = Range(0.0, 1.0)
ALLOWED = Overrides(
    presets=frozenset({"cost"}),
    ranges={"quality": EVERYTHING, "latency": Range(0.1, 1.0), "cost": Range(0.0, 0.5)},
    reference=Reference(seconds=60.0, usd=0.003),
)
WEIGHTS = Wish(quality=0.4, latency=0.1, cost=0.5)


@pytest.fixture
def policy(make_policy: Callable[..., PlanPolicy]) -> PlanPolicy:
    """A policy that takes weights, whose operator allows some."""
    return make_policy(policy=Policy.FIRST_CORRECT, overrides=ALLOWED)


def test_an_allowed_preset_replaces_the_operators_weights(policy: PlanPolicy) -> None:
    """Seconds come from the operator's reference, the weight of congestion stays."""
    granting = grant(Wish(preset="cost"), policy)

    assert granting.is_granted
    assert PRESETS[Preset.COST] == granting.policy.weights
    assert pytest.approx((60.0, 160_000.0)) == (
        granting.policy.objective.worth_seconds,
        granting.policy.objective.seconds_per_usd,
    )
    assert policy.objective.congestion_weight == granting.policy.objective.congestion_weight
    assert "preset=cost" == granting.words


def test_weights_on_the_bounds_are_granted(policy: PlanPolicy) -> None:
    """Bounds belong to their ranges."""
    granting = grant(WEIGHTS, policy)

    assert granting.is_granted
    assert dict(Weights.of(quality=0.4, latency=0.1, cost=0.5).items()) == pytest.approx(
        dict(granting.policy.weights.items())
    )


@pytest.mark.parametrize(
    ("wish", "word"),
    [
        (Wish(preset="quality"), "operator"),
        (Wish(quality=0.3, latency=0.1, cost=0.6), "cost is 0.6, expected 0 to 0.5"),
        (Wish(quality=0.91, latency=0.09, cost=0.0), "latency is 0.09, expected 0.1 to 1"),
    ],
)
def test_what_is_out_of_bounds_changes_nothing(policy: PlanPolicy, wish: Wish, word: str) -> None:
    """Nothing is bent into the bounds: the operator's own weights hold, and the client is told why."""
    granting = grant(wish, policy)

    assert not granting.is_granted
    assert policy is granting.policy
    assert granting.words.startswith(f"{wish}; not allowed")
    assert word in granting.words


@pytest.mark.parametrize("wish", [WEIGHTS, *(Wish(preset=preset.value) for preset in Preset)])
def test_nothing_is_allowed_that_the_operator_did_not_allow(
    make_policy: Callable[..., PlanPolicy], wish: Wish
) -> None:
    """By default no wish is granted."""
    assert not grant(wish, make_policy(policy=Policy.ROUTE_BALANCE)).is_granted


@pytest.mark.parametrize("policy_name", [Policy.LEAST_WORK, Policy.LAAR, Policy.RANDOM])
def test_a_policy_without_weights_has_none_to_change(
    make_policy: Callable[..., PlanPolicy], policy_name: Policy
) -> None:
    """The client hears that its wish has no meaning here."""
    granting = grant(Wish(preset="cost"), make_policy(policy=policy_name, overrides=ALLOWED))

    assert not granting.is_granted
    assert f"preset=cost; not applied: the policy {policy_name.value} takes no weights" == granting.words
