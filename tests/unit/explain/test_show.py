from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from rich.console import Console

from extproc.explain.show import WIDTH, show
from extproc.explain.why import explain
from extproc.explain.world import World

MakeWorld = Callable[..., World]


def drawn(world: World) -> str:
    output = io.StringIO()
    Console(file=output, width=WIDTH).print(show(explain(world)))
    return output.getvalue()


@pytest.mark.parametrize("policy", ["first_correct", "route_balance", "laar", "least_work", "random"])
def test_an_explanation_fits_its_columns(make_world: MakeWorld, policy: str) -> None:
    """No figure is cut off: every instance of the plan stands there whole."""
    world = make_world(policy, load={"10.0.0.1:8000": 123, "10.0.3.1:8000": 64}, suspects=("10.0.0.2:8000",))
    told, text = explain(world), drawn(world)

    assert max(map(len, text.splitlines())) <= WIDTH
    assert "…" not in text
    assert told.plan is not None
    for part in ("policy", "Candidates", "Not weighed", "Plan", "What would change it"):
        assert part in text
    for attempt in told.plan.attempts:
        assert f"{attempt.address} {attempt.model}" in text


def test_a_refusal_is_drawn_without_tables(make_world: MakeWorld) -> None:
    """Its words are all there is to it."""
    text = drawn(make_world(model="unheard-of"))

    assert "404 model-not-found" in text
    assert "Candidates" not in text


def test_unchanged_plans_share_a_line(make_world: MakeWorld) -> None:
    """What makes no difference is said at the end, together."""
    lines = drawn(make_world()).splitlines()

    assert 1 == sum(line.startswith(" the same plan") for line in lines)
