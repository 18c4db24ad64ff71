from __future__ import annotations

from typing import Any

import pytest

from extproc.errors import BadRequestError
from extproc.facts.responses import read_responses


def test_a_string_is_one_message() -> None:
    """Instructions and input are a message each."""
    reading = read_responses({"instructions": "be kind", "input": "hi", "max_output_tokens": 9})

    assert (["be kind", "hi"], 2, 9) == (
        reading.prompt.parts,
        reading.prompt.messages,
        reading.max_output_tokens,
    )


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, False),
        ({"previous_response_id": None}, False),
        ({"previous_response_id": "resp_1"}, True),
        ({"input": [{"role": "user", "content": "a"}]}, False),
        ({"input": [{"role": "user", "content": "a"}, {"type": "item_reference", "id": "x"}]}, True),
    ],
)
def test_what_the_instance_keeps_is_not_in_the_body(fields: dict[str, Any], expected: bool) -> None:
    """A request that goes on from an earlier answer, or refers to a part of it, has text that nobody sees here."""
    assert expected == read_responses({"input": "hi", **fields}).has_unseen_text


def test_items_of_every_kind_are_collected() -> None:
    """Messages, reasoning, calls and their results are part of the prompt; images are counted."""
    items = [
        {"role": "user", "content": "a"},
        {
            "type": "message",
            "role": "user",
            "content": [{"type": "input_text", "text": "b"}, {"type": "input_image", "image_url": "x"}],
        },
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "c"}], "content": None},
        {"type": "function_call", "name": "d", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "1", "output": "e"},
        {"type": "item_reference", "id": "x"},
    ]

    prompt = read_responses({"input": items, "tools": [{"type": "function", "name": "d"}]}).prompt

    assert ["a", "b", "c", "d", "{}", "e", '[{"type":"function","name":"d"}]'] == prompt.parts
    assert (6, 1, 1) == (prompt.messages, prompt.images, prompt.tools)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "input"),
        ({"input": 5}, "input"),
        ({"input": ["x"]}, "input[0]"),
        ({"input": [{"content": 5}]}, "input[0].content"),
        ({"input": "x", "instructions": []}, "instructions"),
        ({"input": "x", "max_output_tokens": 0}, "max_output_tokens"),
    ],
)
def test_what_vllm_refuses_is_refused(body: dict[str, Any], param: str) -> None:
    """A malformed request is a 400 that names the field."""
    with pytest.raises(BadRequestError) as caught:
        read_responses(body)
    assert param == caught.value.param
