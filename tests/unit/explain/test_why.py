from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from extproc.explain.why import explain
from extproc.explain.world import World, decide

MakeWorld = Callable[..., World]


def test_an_explanation_is_of_the_routers_own_plan(make_world: MakeWorld) -> None:
    """The plan shown is the plan made, and every instance is weighed or left out with a reason."""
    world = make_world(headers={"x-ttca-expect": "exact:x"}, load={"10.0.0.1:8000": 3})
    plan, told = decide(world).plan, explain(world)
    assert plan is not None
    assert told.plan is not None

    assert [a.address for a in plan.attempts] == [a.address for a in told.plan.attempts]
    weighed = {candidate.address for candidate in told.candidates}
    left_out = {address for exclusion in told.exclusions for address in exclusion.addresses}
    every = {i.address for cluster in world.settings.clusters for i in cluster.instances}
    assert every == weighed | left_out
    assert not weighed & left_out


def test_exclusions_say_why(make_world: MakeWorld) -> None:
    """Another model, draining, too small, a pool that stands in, a model that would repeat itself."""

    def reasons(**body: object) -> dict[str, str]:
        told = explain(make_world(**body))
        return {address: e.reason for e in told.exclusions for address in e.addresses}

    assert "serves a model that auto does not stand for" == reasons()["10.0.5.1:8000"]
    assert "draining" == reasons()["10.0.3.2:8000"]
    assert "pool long: stands in when the chosen pool has nobody else" == reasons()["10.0.2.1:8000"]
    assert reasons(max_tokens=50_000)["10.0.0.1:8000"].startswith("holds 8,192 tokens, the budget is 50,0")
    assert (
        "its model failed before, and would repeat its answer"
        == reasons(temperature=0, failed=("llama-3.2-3b",))["10.0.0.1:8000"]
    )


def test_a_refusal_is_explained_by_its_own_words(make_world: MakeWorld) -> None:
    """Status, reason and message, as the client gets them."""
    told = explain(make_world(max_tokens=500_000))

    assert told.refusal.startswith("400 context-length-exceeded: ")
    assert told.plan is None
    assert () == told.changes


def test_a_granted_wish_shows_in_the_rule(make_world: MakeWorld) -> None:
    """The weights in force are the client's, and a wish that was not granted says why."""
    granted = explain(make_world(headers={"x-ttca-preset": "quality"}))
    refused = explain(make_world(headers={"x-ttca-preset": "latency"}))

    assert "worth 480 s" in granted.rule
    assert "worth 60 s" in refused.rule
    assert "wish: preset=latency; not allowed: the gateway's operator does not offer it" in refused.request


def test_a_request_that_is_passed_through_has_a_plan_and_no_budget(make_world: MakeWorld) -> None:
    """A path that nobody knows goes to anybody."""
    world = make_world()
    told = explain(replace(world, asked=replace(world.asked, path="/v1/rerank")))

    assert told.plan is not None
    assert "passthrough:other" == told.plan.reason
    assert () == told.candidates
