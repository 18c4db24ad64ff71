from __future__ import annotations

import pytest

from extproc.facts.demands import demands_form, demands_logprobs, repeats_itself
from extproc.facts.json_body import JsonObject
from extproc.facts.request import Api
from extproc.verify.demands import NO_DEMANDS, AnswerFormat, read_demands

JSON = {"type": "json_schema", "schema": {"type": "object"}}

DEMANDING: list[tuple[Api, JsonObject]] = [
    (Api.CHAT_COMPLETIONS, {"response_format": {"type": "json_object"}}),
    (Api.CHAT_COMPLETIONS, {"response_format": {"type": "json_schema", "json_schema": {}}}),
    (Api.COMPLETIONS, {"response_format": {"type": "json_object"}}),
    (Api.RESPONSES, {"text": {"format": JSON}}),
    (Api.MESSAGES, {"output_config": {"format": JSON}}),
    (Api.MESSAGES, {"output_format": JSON}),
    (Api.CHAT_COMPLETIONS, {"structured_outputs": {"json": {"type": "object"}}}),
    (Api.CHAT_COMPLETIONS, {"structured_outputs": {"json": '{"type": "object"}'}}),
    (Api.COMPLETIONS, {"structured_outputs": {"json_object": True}}),
    (Api.CHAT_COMPLETIONS, {"structured_outputs": {"choice": ["yes", "no"]}}),
    (Api.CHAT_COMPLETIONS, {"functions": [{"name": "weather", "parameters": {}}]}),
]


@pytest.mark.parametrize(("api", "body"), DEMANDING)
def test_a_form_is_demanded(api: Api, body: JsonObject) -> None:
    """In each API's own place; what counts as a demand here is one that an answer is held against."""
    assert demands_form(api, body)
    found = read_demands(api, body)
    assert found.format is not AnswerFormat.TEXT or found.has_tools


@pytest.mark.parametrize(
    ("api", "body"),
    [
        (Api.CHAT_COMPLETIONS, {}),
        (Api.CHAT_COMPLETIONS, {"response_format": None}),
        (Api.CHAT_COMPLETIONS, {"response_format": {"type": "text"}}),
        (Api.CHAT_COMPLETIONS, {"response_format": "json"}),
        (Api.CHAT_COMPLETIONS, {"response_format": {"type": ["json_object"]}}),
        (Api.CHAT_COMPLETIONS, {"text": {"format": JSON}}),
        (Api.RESPONSES, {"text": {"format": {"type": "text"}}}),
        (Api.RESPONSES, {"text": "json"}),
        (Api.RESPONSES, {"response_format": {"type": "json_object"}}),
        (Api.MESSAGES, {"output_config": "json"}),
        (Api.CHAT_COMPLETIONS, {"structured_outputs": {"regex": "a+"}}),
        (Api.CHAT_COMPLETIONS, {"structured_outputs": {"json_object": False, "choice": []}}),
        (Api.CHAT_COMPLETIONS, {"structured_outputs": "json"}),
        (Api.CHAT_COMPLETIONS, {"functions": []}),
    ],
)
def test_nothing_is_demanded(api: Api, body: JsonObject) -> None:
    """By odd shapes, by what another API says, and by what is left to vLLM."""
    assert not demands_form(api, body)
    assert NO_DEMANDS == read_demands(api, body)


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
