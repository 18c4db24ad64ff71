from __future__ import annotations

import pytest

from extproc.errors import BadRequestError
from extproc.facts.embeddings import read_embeddings


def test_an_embedding_has_no_output() -> None:
    """Every input is a sequence of prompt tokens alone."""
    reading = read_embeddings({"input": ["a", "b", "c"], "max_tokens": "ignored"})

    assert (0, 3, ["a", "b", "c"]) == (reading.max_output_tokens, reading.choices, reading.prompt.parts)


def test_a_conversation_can_be_embedded() -> None:
    """`messages` stand in for `input`, as one sequence."""
    reading = read_embeddings(
        {"messages": [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]}
    )

    assert (1, ["a", "b"]) == (reading.choices, reading.prompt.parts)


@pytest.mark.parametrize("body", [{}, {"input": None}, {"input": []}, {"input": 5}])
def test_something_must_be_embedded(body: dict[str, object]) -> None:
    """An absent, empty or malformed input is a 400 that names it."""
    with pytest.raises(BadRequestError) as caught:
        read_embeddings(body)
    assert "input" == caught.value.param
