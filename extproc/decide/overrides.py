"""A client's wish for other weights, granted within the operator's bounds or not at all.

A wish that is not granted is no mistake: the request is served by the operator's own weights, and the answer says so. Refusing it would
break clients whenever an operator narrows the bounds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from extproc.decide.planner import PlanPolicy
from extproc.decide.policies import POLICIES, ByForecast
from extproc.decide.weights import PRESETS, Overrides, Preset, Weights
from extproc.facts.wish import Wish

_ROUNDING: Final = 1e-9
"""Shares come from a division, so that a bound that is met exactly may be missed by this much."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Granting:
    """What became of a wish.

    Attributes:
        policy: What the request is planned by.
        is_granted: True when it is planned by the client's weights.
        words: What the client is told: its wish, and why it was not granted.
    """

    policy: PlanPolicy
    is_granted: bool
    words: str


def grant(wish: Wish, policy: PlanPolicy) -> Granting:
    """Plan by the client's weights when the policy takes weights and the operator allows these."""
    rule = POLICIES[policy.policy]
    if not (isinstance(rule, ByForecast) and rule.takes_weights):
        why = f"not applied: the policy {policy.policy.value} takes no weights"
        return Granting(policy=policy, is_granted=False, words=f"{wish}; {why}")
    weights, why = _allowed(wish, policy.overrides)
    if weights is None:
        return Granting(policy=policy, is_granted=False, words=f"{wish}; not allowed: {why}")
    objective = policy.overrides.reference.objective(
        weights, congestion_weight=policy.objective.congestion_weight
    )
    return Granting(
        policy=replace(policy, objective=objective, weights=weights), is_granted=True, words=str(wish)
    )


def _allowed(wish: Wish, overrides: Overrides) -> tuple[Weights | None, str]:
    """Return the weights wished for; None, and why, when they are out of bounds."""
    if wish.preset:
        if wish.preset not in overrides.presets:
            return None, "the gateway's operator does not offer it"
        return PRESETS[Preset(wish.preset)], ""
    if overrides.ranges is None:
        return None, "the gateway's operator does not offer it"
    for name in ("quality", "latency", "cost"):
        share, bounds = getattr(wish, name), overrides.ranges[name]
        if not bounds.least - _ROUNDING <= share <= bounds.most + _ROUNDING:
            return None, f"{name} is {share:.4g}, expected {bounds.least:g} to {bounds.most:g}"
    return Weights.of(quality=wish.quality, latency=wish.latency, cost=wish.cost), ""
