from __future__ import annotations

import pytest

from extproc.facts.demands import demands_logprobs, demands_structure, repeats_itself
from extproc.facts.json_body import JsonObject


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, False),
        ({"response_format": None}, False),
        ({"response_format": {"type": "text"}}, False),
        ({"response_format": {"type": "json_object"}}, True),
        ({"response_format": {"type": "json_schema", "json_schema": {}}}, True),
        ({"response_format": "json"}, False),
        ({"response_format": {"type": ["json_object"]}}, False),
        ({"text": {"format": {"type": "json_schema"}}}, True),
        ({"text": {"format": {"type": "text"}}}, False),
        ({"text": "json"}, False),
    ],
)
def test_structure_is_demanded(body: JsonObject, expected: bool) -> None:
    """Where chat, completions and responses say so; odd shapes demand nothing."""
    assert expected is demands_structure(body)


@pytest.mark.parametrize(
    ("body", "expected"),
    [({}, False), ({"logprobs": None}, False), ({"logprobs": False}, False), ({"logprobs": True}, True), ({"logprobs": 0}, True), ({"logprobs": 5}, True)],
)  # fmt: skip
def test_logprobs_are_demanded(body: JsonObject, expected: bool) -> None:
    """True in chats; any count in completions, where 0 means those of the chosen tokens."""
    assert expected is demands_logprobs(body)


@pytest.mark.parametrize(
    ("body", "expected"),
    [({}, False), ({"temperature": 0}, True), ({"temperature": 0.0}, True), ({"temperature": 0.1}, False), ({"temperature": None}, False), ({"temperature": "0"}, False), ({"seed": 0}, True), ({"seed": None}, False)],
)  # fmt: skip
def test_a_request_that_repeats_itself(body: JsonObject, expected: bool) -> None:
    """Greedy decoding or a seed; what is unclear may differ."""
    assert expected is repeats_itself(body)
