from __future__ import annotations

import json

import pytest

from loadgen.bench.bodies import BodyShape, chat_bodies
from loadgen.workload.prompts import TextSource


@pytest.mark.parametrize("size", [1024, 2048, 65_536])
def test_bodies_have_the_exact_size(size: int) -> None:
    """Every body is a conversation of several messages in exactly the wanted number of bytes."""
    bodies = chat_bodies(BodyShape(body_bytes=size, model="auto"), 4, TextSource(1))

    assert [size] * 4 == [len(body) for body in bodies]
    for body in bodies:
        asked = json.loads(body)
        assert "auto" == asked["model"]
        assert ["system", "user"] == [asked["messages"][0]["role"], asked["messages"][-1]["role"]]
        assert all(message["content"] for message in asked["messages"])


def test_every_second_body_limits_its_output() -> None:
    """Both ways of reckoning an output's length are exercised."""
    bodies = chat_bodies(BodyShape(body_bytes=2048, model="m"), 4, TextSource(1))

    assert [False, True, False, True] == ["max_tokens" in json.loads(body) for body in bodies]


def test_bodies_differ_and_repeat_under_a_seed() -> None:
    """No two bodies of a case are equal; the same seed writes the same ones."""
    shape = BodyShape(body_bytes=2048, model="m")
    bodies = chat_bodies(shape, 4, TextSource(1))

    assert 4 == len(set(bodies))
    assert bodies == chat_bodies(shape, 4, TextSource(1))
    assert bodies != chat_bodies(shape, 4, TextSource(2))


def test_a_size_without_room_for_a_conversation_is_refused() -> None:
    """The error names the size."""
    with pytest.raises(ValueError, match="does not fit into 100 bytes"):
        chat_bodies(BodyShape(body_bytes=100, model="m"), 1, TextSource(1))
