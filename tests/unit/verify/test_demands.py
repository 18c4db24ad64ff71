from __future__ import annotations

from typing import Any

import pytest

from extproc.facts.request import Api
from extproc.verify.demands import NO_DEMANDS, AnswerFormat, CallRule, FormDemands, read_demands

_SCHEMA = {"type": "object"}


@pytest.mark.parametrize(
    ("api", "document"),
    [
        (
            Api.CHAT_COMPLETIONS,
            {"response_format": {"type": "json_schema", "json_schema": {"schema": _SCHEMA}}},
        ),
        (Api.RESPONSES, {"text": {"format": {"type": "json_schema", "name": "a", "schema": _SCHEMA}}}),
        (Api.MESSAGES, {"output_config": {"format": {"type": "json_schema", "schema": _SCHEMA}}}),
        (Api.MESSAGES, {"output_format": {"type": "json_schema", "schema": _SCHEMA}}),
        (Api.COMPLETIONS, {"structured_outputs": {"json": _SCHEMA}}),
        (Api.CHAT_COMPLETIONS, {"structured_outputs": {"json": '{"type":"object"}'}}),
    ],
)
def test_a_schema_is_found_in_every_api(api: Api, document: dict[str, object]) -> None:
    """Each API has its own place for it, and vLLM one more."""
    assert FormDemands(format=AnswerFormat.SCHEMA, schema=_SCHEMA) == read_demands(api, document)


@pytest.mark.parametrize(
    ("document", "demands"),
    [
        ({"response_format": {"type": "json_object"}}, FormDemands(format=AnswerFormat.JSON)),
        ({"response_format": {"type": "json_schema"}}, FormDemands(format=AnswerFormat.JSON)),
        ({"structured_outputs": {"json_object": True}}, FormDemands(format=AnswerFormat.JSON)),
        (
            {"structured_outputs": {"choice": ["a", "b"]}},
            FormDemands(format=AnswerFormat.CHOICE, options=("a", "b")),
        ),
        ({"response_format": {"type": "text"}}, NO_DEMANDS),
        ({"response_format": "json"}, NO_DEMANDS),
        ({"structured_outputs": {"regex": "a", "choice": [1]}}, NO_DEMANDS),
        ({"structured_outputs": {"json": "{"}}, NO_DEMANDS),
        ({"tools": 1, "functions": "f", "tool_choice": []}, NO_DEMANDS),
        ({"tools": [1, {"type": "web_search"}, {"type": "function", "function": {}}]}, NO_DEMANDS),
    ],
)
def test_formats_and_what_is_none(document: dict[str, object], demands: FormDemands) -> None:
    """What is malformed demands nothing: the instance refuses it."""
    assert demands == read_demands(Api.CHAT_COMPLETIONS, document)


def test_other_apis_demand_nothing() -> None:
    """An embedding has no form."""
    assert NO_DEMANDS == read_demands(Api.EMBEDDINGS, {"response_format": {"type": "json_object"}})


@pytest.mark.parametrize(
    "document",
    [
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": _SCHEMA}}]},
        {"tools": [{"type": "function", "name": "f", "parameters": _SCHEMA}]},
        {"tools": [{"name": "f", "input_schema": _SCHEMA}]},
        {"functions": [{"name": "f", "parameters": _SCHEMA}]},
    ],
)
def test_tools_are_found_in_every_shape(document: dict[str, object]) -> None:
    """Chat, responses, messages and the deprecated form declare the same tool."""
    assert {"f": _SCHEMA} == read_demands(Api.CHAT_COMPLETIONS, document).tools


@pytest.mark.parametrize(
    ("fields", "rule", "allowed"),
    [
        ({}, CallRule.AUTO, None),
        ({"tool_choice": "auto"}, CallRule.AUTO, None),
        ({"tool_choice": "required"}, CallRule.REQUIRED, None),
        ({"tool_choice": {"type": "any"}}, CallRule.REQUIRED, None),
        ({"tool_choice": "none"}, CallRule.NONE, None),
        ({"tool_choice": {"type": "none"}}, CallRule.NONE, None),
        ({"tool_choice": {"type": "function", "function": {"name": "f"}}}, CallRule.NAMED, {"f"}),
        ({"tool_choice": {"type": "tool", "name": "f"}}, CallRule.NAMED, {"f"}),
        ({"function_call": {"name": "f"}}, CallRule.NAMED, {"f"}),
        (
            {
                "tool_choice": {
                    "type": "allowed_tools",
                    "mode": "required",
                    "tools": [{"type": "function", "name": "f"}],
                }
            },
            CallRule.REQUIRED,
            {"f"},
        ),
        (
            {
                "tool_choice": {
                    "type": "allowed_tools",
                    "allowed_tools": {
                        "mode": "auto",
                        "tools": [{"type": "function", "function": {"name": "f"}}],
                    },
                }
            },
            CallRule.AUTO,
            {"f"},
        ),
    ],
)
def test_tool_choices(fields: dict[str, Any], rule: CallRule, allowed: set[str] | None) -> None:
    """Words, named tools and lists of allowed ones."""
    demands = read_demands(Api.CHAT_COMPLETIONS, {"tools": [{"name": "f"}], **fields})

    assert (rule, allowed) == (demands.call_rule, demands.allowed)


@pytest.mark.parametrize(
    "fields",
    [{"parallel_tool_calls": False}, {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}}],
)
def test_parallel_calls_can_be_forbidden(fields: dict[str, Any]) -> None:
    """Two APIs, two words."""
    assert not read_demands(Api.MESSAGES, {"tools": [{"name": "f"}], **fields}).allows_parallel


@pytest.mark.parametrize(
    ("demands", "needed"),
    [
        (NO_DEMANDS, False),
        (FormDemands(format=AnswerFormat.JSON), False),
        (FormDemands(format=AnswerFormat.SCHEMA), True),
        (FormDemands(has_tools=True), True),
    ],
)
def test_large_demands_need_the_body(demands: FormDemands, needed: bool) -> None:
    """Schemas and tools are too large for a header."""
    assert needed is demands.needs_request_body
