from __future__ import annotations

import pytest

from extproc.errors import BadRequestError
from extproc.facts.wish import Wish
from extproc.protocol import names
from extproc.protocol.client_headers import (
    MAX_CHARACTERS,
    checked_text,
    deadline_seconds,
    refuse_unknown,
    wish,
)


@pytest.mark.parametrize(
    ("text", "expected"), [("", None), ("1", 0.001), ("2500", 2.5), ("9999999999", 9999999.999)]
)
def test_a_deadline_is_read_in_seconds(text: str, expected: float | None) -> None:
    """Milliseconds on the wire; none when the client set none."""
    assert expected == deadline_seconds(text)


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "soon", " 5", "\u00b2", "1" * 11])
def test_a_malformed_deadline_is_refused(text: str) -> None:
    """The client is told which header is at fault."""
    with pytest.raises(BadRequestError) as raised:
        deadline_seconds(text)

    assert (names.DEADLINE, "invalid-header") == (raised.value.param, raised.value.reason)


def test_a_text_is_bounded() -> None:
    """A session's name is kept in memory, so it has an end."""
    assert "x" * MAX_CHARACTERS == checked_text(names.SESSION, "x" * MAX_CHARACTERS)
    with pytest.raises(BadRequestError, match="4097 characters"):
        checked_text(names.SESSION, "x" * (MAX_CHARACTERS + 1))


@pytest.mark.parametrize(
    ("preset", "weights", "expected"),
    [
        ("", "", None),
        ("cost", "", Wish(preset="cost")),
        ("", "quality=0.5,latency=0.25,cost=0.25", Wish(quality=0.5, latency=0.25, cost=0.25)),
        ("", "cost=0, quality=1.,latency=1", Wish(quality=0.5, latency=0.5, cost=0.0)),
        ("", "latency=5,cost=.0,quality=0", Wish(quality=0.0, latency=1.0, cost=0.0)),
    ],
)
def test_a_wish_is_a_preset_or_weights(preset: str, weights: str, expected: Wish | None) -> None:
    """Weights come in any order and scale."""
    assert expected == wish(preset, weights)


@pytest.mark.parametrize(
    "text",
    [
        "quality=1",
        "quality=1,latency=1",
        "quality=1,latency=1,cost=1,cost=1",
        "quality=1,latency=1,cost=1,speed=1",
        "quality=1,latency=1,cost=-1",
        "quality=1,latency=0,cost=1",
        "quality=0,latency=0,cost=0",
        "quality=nan,latency=1,cost=0",
        "quality=1e9,latency=1,cost=0",
        "quality=inf,latency=1,cost=0",
        "quality=\u0661,latency=1,cost=0",
        "balanced",
        ",",
        "quality=1,latency=1,cost=1" + " " * 200,
    ],
)
def test_malformed_weights_are_refused(text: str) -> None:
    """Three numbers, each once, of which latency is something."""
    with pytest.raises(BadRequestError) as raised:
        wish("", text)

    assert (names.WEIGHTS, "invalid-header") == (raised.value.param, raised.value.reason)


def test_an_unknown_preset_is_refused_with_those_that_there_are() -> None:
    """A typing mistake must not pass for the operator's choice."""
    with pytest.raises(BadRequestError, match="balanced, quality, latency, cost, got 'cheap'"):
        wish("cheap", "")


def test_two_wishes_at_once_are_refused() -> None:
    """Which one counts would be a guess."""
    with pytest.raises(BadRequestError, match="only one of the two"):
        wish("cost", "quality=1,latency=1,cost=1")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("x-ttca-dedline-ms", "did you mean `x-ttca-deadline-ms`"),
        ("x-ttca-expects", "did you mean `x-ttca-expect`"),
        ("x-ttca-colour", "known: x-ttca-expect, "),
    ],
)
def test_an_unknown_header_of_ours_is_refused(name: str, hint: str) -> None:
    """A typing error would go unnoticed; the error says what was meant, or what there is."""
    with pytest.raises(BadRequestError, match=hint) as caught:
        refuse_unknown(name)

    assert ("invalid-header", name) == (caught.value.reason, caught.value.param)
    refuse_unknown("")
