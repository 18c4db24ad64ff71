from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from extproc.assembly import assemble
from extproc.explain.world import World, decide, read_learned
from extproc.facts.text import Category, TextProfile
from extproc.server.state_file import StateFile

MakeWorld = Callable[..., World]


def test_the_router_meets_the_load_that_is_given(make_world: MakeWorld) -> None:
    """As scraped sequences that have been there for a while; a suspect is the last resort."""
    found = decide(make_world(load={"10.0.0.1:8000": 40}, suspects=("10.0.0.2:8000",)))

    snapshot = found.witness.snapshot
    assert snapshot is not None
    row = snapshot.table.row_by_address["10.0.0.1:8000"]
    assert [40.0, 40.0] == pytest.approx([snapshot.sequences[row], snapshot.usual_sequences[row]])
    assert ["10.0.0.2:8000"] == [snapshot.table.addresses[r] for r in np.flatnonzero(snapshot.suspect)]


def test_a_session_remembers_who_failed(make_world: MakeWorld) -> None:
    """The failed model's chance falls, and the others' with it, for the question is likely a hard one."""
    fresh, again = decide(make_world()), decide(make_world(failed=("llama-3.2-3b",)))

    assert fresh.witness.case is not None
    assert again.witness.case is not None
    assert ("llama-3.2-3b",) == again.witness.case.predictions.failed
    assert (again.witness.case.predictions.chance < fresh.witness.case.predictions.chance).all()


def test_a_refused_request_has_its_refusal(make_world: MakeWorld) -> None:
    """An unknown model has no plan."""
    found = decide(make_world(model="unheard-of"))

    assert found.plan is None
    assert found.refusal is not None
    assert 404 == found.refusal.http_status


@pytest.mark.parametrize(
    ("circumstance", "word"),
    [({"load": {"10.9.9.9:1": 1}}, "10.9.9.9:1"), ({"failed": ("gpt",)}, "gpt")],
)
def test_circumstances_that_cannot_be_are_refused(
    make_world: MakeWorld, circumstance: dict[str, object], word: str
) -> None:
    """The text names what the fleet does not have, and what it has."""
    with pytest.raises(ValueError, match=word):
        decide(make_world(**circumstance))


def test_what_a_service_learned_bears_on_the_decision(make_world: MakeWorld, tmp_path: Path) -> None:
    """A state file that the service wrote is read back: answers were long, so the forecast is."""
    world = make_world()
    core = assemble(world.settings, np.random.default_rng(1))
    for _ in range(200):
        core.estimators.outputs.learn(
            "llama-3.2-3b", TextProfile(((Category.ENGLISH, 26),)), 3000, was_cut=False
        )
    StateFile(tmp_path / "state.json", core.learned).save()

    before = decide(world).core.estimators.outputs
    after = decide(replace(world, learned=read_learned(tmp_path / "state.json"))).core.estimators.outputs

    text = TextProfile(((Category.ENGLISH, 26),))
    assert before.predict("llama-3.2-3b", text, 0.5) < 1000 < after.predict("llama-3.2-3b", text, 0.5)


@pytest.mark.parametrize("content", ["", "[1]", "{"])
def test_a_file_that_is_no_state_is_refused(tmp_path: Path, content: str) -> None:
    """The text says what was expected."""
    file = tmp_path / "state.json"
    file.write_text(content, encoding="utf-8")

    with pytest.raises(ValueError, match=r"state\.json"):
        read_learned(file)
