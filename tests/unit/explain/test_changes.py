from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from extproc.explain.changes import changes
from extproc.explain.world import World, decide

MakeWorld = Callable[..., World]


def changes_of(world: World) -> dict[str, str]:
    return {change.what: change.plan for change in changes(world, decide(world))}


def test_what_would_change_it_is_what_the_router_does_then(make_world: MakeWorld) -> None:
    """A failed instance is avoided, a failed model as well, and another policy goes its own way."""
    world = make_world(stream=True)
    first = decide(world).plan
    assert first is not None
    address, model = first.attempts[0].address, first.attempts[0].model
    found = changes_of(world)

    failing = replace(world, asked=replace(world.asked, suspects=(address,)))
    other = decide(failing).plan
    assert other is not None
    assert f"{other.attempts[0].model} on {other.attempts[0].address}" == found[f"{address} fails"]
    assert model not in found[f"{model} answered wrongly, and the client asks again"]
    assert found["policy least_work"].startswith("llama-3.2-3b")
    assert "policy first_correct" not in found


def test_the_turning_point_is_the_least_load_that_turns(make_world: MakeWorld) -> None:
    """With one sequence less the first instance is still the first."""
    world = make_world(stream=True)
    first = decide(world).plan
    assert first is not None
    address = first.attempts[0].address
    (what,) = (what for what in changes_of(world) if what.startswith(f"{address} gets "))
    least = int(what.split()[2])

    def first_at(sequences: int) -> str:
        plan = decide(replace(world, asked=replace(world.asked, load={address: float(sequences)}))).plan
        assert plan is not None
        return plan.attempts[0].address

    assert address == first_at(least - 1)
    assert address != first_at(least)


def test_presets_are_asked_without_the_clients_wish(make_world: MakeWorld) -> None:
    """Else each would say the same."""
    wishing = changes_of(make_world(stream=True, headers={"x-ttca-preset": "quality"}))
    plain = changes_of(make_world(stream=True))

    assert {name for name in plain if name.startswith("preset")} == {
        f"preset {name}" for name in ("balanced", "quality", "latency", "cost")
    }
    assert plain["preset latency"] == wishing["preset latency"] != ""


@pytest.mark.parametrize("policy", ["least_work", "laar"])
def test_policies_without_weights_are_not_asked_for_presets(make_world: MakeWorld, policy: str) -> None:
    """A preset would change nothing, and says so to nobody."""
    assert not [what for what in changes_of(make_world(policy)) if what.startswith("preset")]


def test_a_refused_request_is_not_asked_again(make_world: MakeWorld) -> None:
    """What it takes stands in the refusal."""
    assert {} == changes_of(make_world(model="unheard-of"))
