"""What a request's body demands of the form of its answer, whichever API it speaks: format, tools, number of choices."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import orjson

from extproc.facts.demands import declared_format
from extproc.facts.json_body import JsonObject
from extproc.facts.request import Api


class AnswerFormat(StrEnum):
    """What the text of an answer must be."""

    TEXT = "text"
    JSON = "json"
    """Any JSON object."""
    SCHEMA = "schema"
    CHOICE = "choice"
    """One of a few texts: vLLM's `structured_outputs.choice`."""


class CallRule(StrEnum):
    """Whether tools are to be called."""

    AUTO = "auto"
    REQUIRED = "required"
    NONE = "none"
    NAMED = "named"
    """Only tools of `FormDemands.allowed`, and at least one call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FormDemands:
    """What the form of an answer must be.

    Attributes:
        format: What the text must be.
        schema: The JSON schema when the format is SCHEMA; None when it is not known, as without the request body.
        options: The texts when the format is CHOICE; empty when they are not known.
        tools: Parameter schemas of the declared tools by name, None for a tool without one; None as a whole when
            tools are declared and not known.
        call_rule: Whether tools are to be called.
        allowed: Names that may be called, None when all declared may.
        allows_parallel: More than one call in an answer is allowed.
    """

    format: AnswerFormat = AnswerFormat.TEXT
    schema: object = None
    options: tuple[str, ...] = ()
    tools: Mapping[str, object] | None = None
    has_tools: bool = False
    call_rule: CallRule = CallRule.AUTO
    allowed: frozenset[str] | None = None
    allows_parallel: bool = True

    @property
    def needs_request_body(self) -> bool:
        """True when the demands are more than a header should carry."""
        return self.has_tools or self.format in {AnswerFormat.SCHEMA, AnswerFormat.CHOICE}


NO_DEMANDS: Final = FormDemands()


def read_demands(api: Api, document: JsonObject) -> FormDemands:
    """Read the demands out of a request's body; what is malformed demands nothing, since the instance refuses it."""
    if api not in {Api.CHAT_COMPLETIONS, Api.COMPLETIONS, Api.RESPONSES, Api.MESSAGES}:
        return NO_DEMANDS
    form, schema, options = _read_format(api, document)
    tools = dict(_read_tools(document))
    rule, allowed = _read_tool_choice(document)
    return FormDemands(
        format=form,
        schema=schema,
        options=options,
        tools=tools or None,
        has_tools=bool(tools),
        call_rule=rule if tools else CallRule.AUTO,
        allowed=allowed,
        allows_parallel=_allows_parallel(document),
    )


def _read_format(api: Api, document: JsonObject) -> tuple[AnswerFormat, object, tuple[str, ...]]:
    declared = declared_format(api, document)
    if isinstance(declared, dict):
        if declared.get("type") == "json_object":
            return AnswerFormat.JSON, None, ()
        if declared.get("type") == "json_schema":
            # Chat completions nest the schema once more than the other APIs.
            holder = declared.get("json_schema")
            schema = (holder if isinstance(holder, dict) else declared).get("schema")
            return (AnswerFormat.JSON, None, ()) if schema is None else (AnswerFormat.SCHEMA, schema, ())
    return _read_structured_outputs(_object(document, "structured_outputs"))


def _read_structured_outputs(fields: JsonObject) -> tuple[AnswerFormat, object, tuple[str, ...]]:
    """Read vLLM's own way of asking; a regular expression or a grammar there is left to vLLM."""
    schema = fields.get("json")
    if type(schema) is str:
        try:
            schema = orjson.loads(schema)
        except orjson.JSONDecodeError:
            schema = None
    if isinstance(schema, dict):
        return AnswerFormat.SCHEMA, schema, ()
    if fields.get("json_object") is True:
        return AnswerFormat.JSON, None, ()
    options = fields.get("choice")
    if isinstance(options, list) and options and all(type(option) is str for option in options):
        return AnswerFormat.CHOICE, None, tuple(options)
    return AnswerFormat.TEXT, None, ()


def _read_tools(document: JsonObject) -> Iterator[tuple[str, object]]:
    """Yield names and parameter schemas of the functions declared, in any API's shape."""
    tools = document.get("tools")
    for tool in tools if isinstance(tools, list) else ():
        if not isinstance(tool, dict):
            continue
        function = tool.get("function")
        declared = function if isinstance(function, dict) else tool
        name = declared.get("name")
        # Tools that the server defines have a type of their own and no schema to hold calls against.
        is_function = tool.get("type", "function") in ("function", "custom", None) or "input_schema" in tool
        if type(name) is str and is_function:
            yield name, declared.get("parameters", declared.get("input_schema"))
    functions = document.get("functions")
    for function in functions if isinstance(functions, list) else ():
        if isinstance(function, dict) and type(function.get("name")) is str:
            yield function["name"], function.get("parameters")


def _read_tool_choice(document: JsonObject) -> tuple[CallRule, frozenset[str] | None]:
    choice = document.get("tool_choice", document.get("function_call"))
    if isinstance(choice, dict):
        kind = choice.get("type")
        if kind == "allowed_tools":
            inner = choice.get("allowed_tools")
            return _read_allowed(inner if isinstance(inner, dict) else choice)
        function = choice.get("function")
        name = (function if isinstance(function, dict) else choice).get("name")
        if type(name) is str:
            return CallRule.NAMED, frozenset((name,))
        choice = kind
    match choice:
        case "required" | "any":
            return CallRule.REQUIRED, None
        case "none":
            return CallRule.NONE, None
    return CallRule.AUTO, None


def _read_allowed(choice: JsonObject) -> tuple[CallRule, frozenset[str] | None]:
    tools = choice.get("tools")
    names = frozenset(name for name, _ in _read_tools({"tools": tools}))
    rule = CallRule.REQUIRED if choice.get("mode") == "required" else CallRule.AUTO
    return rule, names or None


def _allows_parallel(document: JsonObject) -> bool:
    if document.get("parallel_tool_calls") is False:
        return False
    return _object(document, "tool_choice").get("disable_parallel_tool_use") is not True


def _object(document: JsonObject, key: str) -> JsonObject:
    value = document.get(key)
    return value if isinstance(value, dict) else {}
