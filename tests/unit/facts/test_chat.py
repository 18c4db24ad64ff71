from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from extproc.errors import BadRequestError
from extproc.facts.chat import read_chat

Chat = Callable[..., dict[str, Any]]


def test_everything_that_is_tokenised_is_collected(chat: Chat) -> None:
    """Contents, names, reasoning, tool calls, tool results, documents and declarations are part of the prompt."""
    messages = [
        {"role": "system", "content": "be kind"},
        {
            "role": "user",
            "name": "ann",
            "content": [
                {"type": "text", "text": "weather?"},
                {"type": "image_url", "image_url": {"url": "x"}},
            ],
        },
        {
            "role": "assistant",
            "content": None,
            "reasoning_content": "hm",
            "tool_calls": [
                {"id": "1", "type": "function", "function": {"name": "get", "arguments": '{"city":1}'}},
                {"function": {"name": "put", "arguments": {"a": 1}}},
                {"function": None},
                None,
            ],
        },
        {"role": "tool", "tool_call_id": "1", "content": "sunny"},
    ]

    prompt = read_chat(
        chat(messages=messages, tools=[{"type": "function"}], documents=[{"text": "d"}])
    ).prompt

    expected = [
        "be kind", "weather?", "ann", "hm", "get", '{"city":1}', "put", '{"a":1}', "sunny",
        '[{"type":"function"}]', '[{"text":"d"}]',
    ]  # fmt: skip
    assert expected == prompt.parts
    assert (4, 1, 1) == (prompt.messages, prompt.images, prompt.tools)


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({}, None),
        ({"max_tokens": None}, None),
        ({"max_tokens": 5}, 5),
        ({"max_completion_tokens": 7}, 7),
        ({"max_tokens": 5, "max_completion_tokens": 7}, 7),
        ({"max_tokens": 5, "max_completion_tokens": None}, 5),
        ({"max_tokens": -1, "max_completion_tokens": 7}, 7),
    ],
)
def test_the_newer_limit_wins(chat: Chat, limits: dict[str, object], expected: int | None) -> None:
    """`max_completion_tokens` is the limit when it is there, whatever `max_tokens` says."""
    assert expected == read_chat(chat(**limits)).max_output_tokens


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_tokens", 0), ("max_tokens", -5), ("max_tokens", 2**31), ("max_tokens", 1.5), ("max_tokens", "x"),
        ("max_tokens", []), ("max_completion_tokens", 0), ("n", 0), ("n", -1), ("n", 16_385), ("n", "x"), ("tools", "x"),
        ("messages", []), ("messages", "hi"), ("stream_options", 1),
    ],
)  # fmt: skip
def test_what_vllm_refuses_is_refused(chat: Chat, field: str, value: object) -> None:
    """Limits, counts and shapes that no vLLM accepts are a 400 that names the field."""
    with pytest.raises(BadRequestError) as caught:
        read_chat(chat(**{field: value}))
    assert field == caught.value.param


@pytest.mark.parametrize(("n", "expected"), [(..., 1), (None, 1), (3, 3)])
def test_choices_are_n(chat: Chat, n: object, expected: int) -> None:
    """One choice is the default."""
    assert expected == read_chat(chat(n=n)).choices


@pytest.mark.parametrize(
    ("message", "param"),
    [
        ({"role": "user", "content": 5}, "messages[1].content"),
        ({"role": "user", "content": [5]}, "messages[1].content[0]"),
    ],
)
def test_malformed_content_is_found_by_its_path(chat: Chat, message: object, param: str) -> None:
    """An error in a message says in which one."""
    with pytest.raises(BadRequestError) as caught:
        read_chat(chat(messages=[{"role": "user"}, message]))
    assert param == caught.value.param
