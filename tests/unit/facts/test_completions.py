from __future__ import annotations

from typing import Any

import pytest

from extproc.errors import BadRequestError
from extproc.facts.completions import read_completions


@pytest.mark.parametrize(
    ("fields", "expected"),
    [({}, 16), ({"max_tokens": None}, None), ({"max_tokens": 5}, 5), ({"max_tokens": 0, "echo": True}, 0)],
)
def test_the_limit_has_a_default(fields: dict[str, Any], expected: int | None) -> None:
    """A completion without a limit ends after 16 tokens, and none are made when only its prompt is scored."""
    assert expected == read_completions({"prompt": "x", **fields}).max_output_tokens


def test_each_prompt_has_its_choices() -> None:
    """Two prompts of three choices occupy six sequences."""
    reading = read_completions({"prompt": ["a", "b"], "n": 3})

    assert (6, 2) == (reading.choices, reading.prompt.messages)


def test_embedded_prompts_are_left_to_vllm() -> None:
    """A prompt given as embeddings has no text to look at."""
    assert [] == read_completions({"prompt_embeds": "AAAA"}).prompt.parts


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({}, "prompt"),
        ({"prompt": {}}, "prompt"),
        ({"prompt": "x", "max_tokens": 0}, "max_tokens"),
        ({"prompt": "x", "max_tokens": -1, "echo": True}, "max_tokens"),
        ({"prompt": "x", "n": 0}, "n"),
        ({"prompt": "x", "echo": "?"}, "echo"),
    ],
)
def test_what_vllm_refuses_is_refused(fields: dict[str, Any], param: str) -> None:
    """A malformed completion is a 400 that names the field."""
    with pytest.raises(BadRequestError) as caught:
        read_completions(fields)
    assert param == caught.value.param
