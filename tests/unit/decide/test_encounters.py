from __future__ import annotations

from dataclasses import replace

import pytest

from extproc.decide.encounters import Encounters, Met
from extproc.estimate.latency_records import LoadAtDecision
from extproc.facts.text import TextProfile

FIRST = LoadAtDecision(
    sequences=1.0,
    own_sequences=1,
    sequence_seconds=0.0,
    backlog_tokens=0.0,
    waiting_seconds=0.0,
    preemption_share=0.0,
    ttft_seconds=1.0,
    ttft_alone_seconds=1.0,
    iteration_seconds=0.1,
    iteration_alone_seconds=0.1,
)
SECOND = replace(FIRST, sequences=2.0)


@pytest.fixture
def encounters() -> Encounters:
    """With one decision, made at 1.0 s."""
    book = Encounters()
    book.enter("d", Met(address="a:1", text=TextProfile(), load=FIRST, at=1.0))
    return book


def test_each_try_meets_its_own_load(encounters: Encounters) -> None:
    """That of the next one counts once the present one is over, and not before."""
    encounters.expect("d", "b:1", SECOND, 3.0)
    before = encounters.of("d")
    encounters.go_on("d")
    after = encounters.of("d")

    assert (before and before.load, before and before.at) == (FIRST, 1.0)
    assert (after and after.load, after and after.at) == (SECOND, 3.0)
    assert (before and before.address, after and after.address) == ("a:1", "b:1")


def test_a_try_teaches_once(encounters: Encounters) -> None:
    """When it is over and nothing is expected, its load is gone, and the prompt's text is kept."""
    encounters.go_on("d")

    met = encounters.forget("d")
    assert met is not None
    assert met.load is None
    assert encounters.forget("d") is None


def test_what_another_replica_decided_is_not_known(encounters: Encounters) -> None:
    """And nothing is kept of it."""
    encounters.expect("e", "b:1", SECOND, 3.0)
    encounters.go_on("e")

    assert encounters.of("e") is None
    assert encounters.forget("e") is None


@pytest.mark.parametrize(
    ("left", "served", "attempts", "is_refused"),
    [
        ("a:1", "a:1", 1, True),
        ("a:1", "a:1", 2, True),
        ("a:1", "b:1", 2, False),
        ("b:1", "b:1", 1, True),
        ("b:1", "b:1", 2, False),
        ("", "a:1", 1, False),
        ("a:1", None, 1, False),
    ],
)
def test_a_next_try_is_refused_when_the_one_before_it_served(
    encounters: Encounters, left: str, served: str | None, attempts: int, is_refused: bool
) -> None:
    """At its own instance, or at the next try's as well when no second try was made."""
    encounters.expect("d", "b:1", SECOND, 3.0)
    encounters.go_on("d", left)
    met = encounters.forget("d")

    assert met is not None
    assert is_refused == met.is_refused(served, attempts)
