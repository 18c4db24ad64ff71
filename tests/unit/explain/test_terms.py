from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from extproc.decide.first_correct import price_seconds
from extproc.decide.order import Policy
from extproc.decide.policies import POLICIES, ByForecast, Case
from extproc.explain.terms import RULES, scores_of
from extproc.explain.world import World, decide

MakeWorld = Callable[..., World]
LOAD = {"10.0.0.1:8000": 30, "10.0.1.1:8000": 5}
FORECASTING = [policy for policy, rule in POLICIES.items() if isinstance(rule, ByForecast)]


def case_of(world: World) -> Case:
    case = decide(world).witness.case
    assert case is not None
    return case


def test_every_policy_has_a_sentence() -> None:
    """A new policy without one would be explained by nothing."""
    assert set(Policy) == set(RULES)


@pytest.mark.parametrize("policy", FORECASTING)
def test_the_score_puts_first_whom_the_policy_puts_first(make_world: MakeWorld, policy: Policy) -> None:
    """With one attempt and a fresh session, the best score is the plan's first instance."""
    world = make_world(policy.value, load=LOAD, stream=True)
    found = decide(world)
    assert found.witness.case is not None
    assert found.plan is not None
    scores = scores_of(policy, found.witness.case)

    best = np.argmax(scores.score) if scores.larger_is_better else np.argmin(scores.score)
    row = found.witness.case.predictions.rows[best]
    assert found.plan.attempts[0].address == found.witness.case.snapshot.table.addresses[row]


@pytest.mark.parametrize("policy", [Policy.FIRST_CORRECT, Policy.ROUTE_BALANCE])
def test_terms_sum_to_the_score(make_world: MakeWorld, policy: Policy) -> None:
    """Nothing is left unexplained, a suspect's penalty included."""
    scores = scores_of(policy, case_of(make_world(policy.value, load=LOAD, suspects=("10.0.0.2:8000",))))

    assert scores.score.tolist() == pytest.approx(sum(scores.terms.values()).tolist())  # type: ignore[union-attr]


def test_the_worth_of_an_attempt_is_its_chance_less_its_price(make_world: MakeWorld) -> None:
    """The terms are those that the planner weighs."""
    case = case_of(make_world(load=LOAD))
    expected = case.objective.worth_seconds * case.predictions.chance - price_seconds(
        case.predictions, case.snapshot, case.objective
    )

    assert expected.tolist() == pytest.approx(scores_of(Policy.FIRST_CORRECT, case).score.tolist())
