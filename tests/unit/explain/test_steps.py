from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from extproc.explain.steps import plan_view
from extproc.explain.world import World, decide

MakeWorld = Callable[..., World]
EXPECTING = {"x-ttca-expect": "exact:x"}


def test_a_verified_plan_promises_what_its_attempts_add_up_to(make_world: MakeWorld) -> None:
    """Each is made when all before it were wrong; time and money count by that chance."""
    decided = decide(make_world(headers=EXPECTING))
    plan, view = decided.plan, plan_view(decided)
    assert plan is not None
    assert view is not None
    failing, seconds, usd = 1.0, 0.0, 0.0
    for attempt, shown in zip(plan.attempts, view.attempts, strict=True):
        if attempt.chance is None:
            assert (None, "after a failure") == (shown.reached, shown.when)
            continue
        assert pytest.approx(failing) == shown.reached
        seconds += failing * (attempt.latency_seconds or 0.0)
        usd += failing * (attempt.cost_usd or 0.0)
        failing *= 1.0 - (attempt.chance or 0.0)

    assert [True, False, True, True] == [attempt.reached is not None for attempt in view.attempts]
    assert (1.0 - failing, seconds, usd) == pytest.approx(
        (view.chance, view.expected_seconds, view.expected_usd)
    )
    assert pytest.approx(plan.expected_usd) == view.expected_usd


def test_an_attempt_that_is_not_worth_it_is_not_promised(make_world: MakeWorld) -> None:
    """With a dollar worth a fortune nothing follows the first answer, whatever it is."""
    world = make_world(headers={**EXPECTING, "x-ttca-weights": "quality=0,latency=1,cost=1"})
    allowed = world.settings.model_copy(
        update={"overrides": world.settings.overrides.model_copy(update={"presets": ()})}
    )
    decided = decide(replace(world, settings=allowed))
    view = plan_view(decided)
    assert view is not None
    first = view.attempts[0]

    assert [True, None, False, False] == [attempt.is_worth_it for attempt in view.attempts]
    assert first.usd == view.expected_usd
    assert first.chance == pytest.approx(view.chance)
    assert [1.0, None, None, None] == [attempt.reached for attempt in view.attempts]


def test_an_attempt_that_is_cut_says_where(make_world: MakeWorld) -> None:
    """The limit is the plan's own."""
    decided = decide(make_world(headers=EXPECTING))
    assert decided.plan is not None
    first, *others = decided.plan.attempts
    cut = replace(decided.plan, attempts=(replace(first, max_tokens=512), *others))
    view = plan_view(replace(decided, plan=cut))
    assert view is not None

    assert [512, None, None, None] == [attempt.max_tokens for attempt in view.attempts]


def test_without_verification_stand_ins_are_for_failures(make_world: MakeWorld) -> None:
    """A streamed answer passes whatever it says."""
    view = plan_view(decide(make_world(stream=True)))
    assert view is not None

    assert {"at once", "after a failure"} == {attempt.when for attempt in view.attempts}
    assert [1.0] == [attempt.reached for attempt in view.attempts if attempt.reached is not None]


def test_a_policy_without_chances_promises_nothing(make_world: MakeWorld) -> None:
    """Unknown is not zero."""
    view = plan_view(decide(make_world("least_work")))
    assert view is not None

    assert (None, None, None) == (view.chance, view.expected_seconds, view.expected_usd)
    assert {None} == {attempt.latency_seconds for attempt in view.attempts}


def test_a_refused_request_has_no_plan(make_world: MakeWorld) -> None:
    """Nothing is made up."""
    assert plan_view(decide(make_world(model="unheard-of"))) is None
