from __future__ import annotations

from typing import Any

import pytest

from extproc.errors import BadRequestError
from extproc.facts.messages import read_messages


def _body(**changes: Any) -> dict[str, Any]:
    return {"max_tokens": 9, "messages": [{"role": "user", "content": "hi"}], **changes}


def test_everything_that_is_tokenised_is_collected() -> None:
    """System, blocks, tool uses with their results, and declarations are part of the prompt; images are counted."""
    image = {"type": "image", "source": {"type": "base64", "data": "AAAA"}}
    messages = [
        {"role": "user", "content": [{"type": "text", "text": "a"}, image]},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "b"},
                {"type": "tool_use", "name": "c", "input": {"d": 1}},
            ],
        },
        {
            "role": "user",
            "content": [{"type": "tool_result", "content": [{"type": "text", "text": "e"}, image]}],
        },
        {"role": "user", "content": [{"type": "tool_result", "content": "f"}, {"type": "tool_result"}]},
    ]

    reading = read_messages(
        _body(messages=messages, system=[{"type": "text", "text": "g"}], tools=[{"name": "c"}])
    )

    assert ["a", "b", "c", '{"d":1}', "e", "f", "g", '[{"name":"c"}]'] == reading.prompt.parts
    assert (5, 2, 1, 9) == (
        reading.prompt.messages,
        reading.prompt.images,
        reading.prompt.tools,
        reading.max_output_tokens,
    )


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"max_tokens": None}, "max_tokens"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": ["x"]}]}, "messages[0].content[0]"),
        (
            {"messages": [{"role": "user", "content": [{"type": "tool_result", "content": 5}]}]},
            "messages[0].content[0].content",
        ),
        ({"system": 5}, "system"),
        ({"tools": {}}, "tools"),
    ],
)
def test_what_vllm_refuses_is_refused(changes: dict[str, Any], param: str) -> None:
    """A malformed request is a 400 that names the field."""
    with pytest.raises(BadRequestError) as caught:
        read_messages(_body(**changes))
    assert param == caught.value.param
