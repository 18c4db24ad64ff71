"""Does the answer keep the form that the request demands: JSON, schema, one of a few texts, calls of declared tools?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import orjson

from extproc.facts.answer import Choice, ToolCall
from extproc.verify.demands import AnswerFormat, CallRule, FormDemands
from extproc.verify.finding import Finding, passed, printable, rejected, undecided
from extproc.verify.schema import SchemaCache
from extproc.verify.schema_shape import SchemaError
from extproc.verify.work import WorkBudget

_JSON: Final = "contract.json"
_SCHEMA: Final = "contract.schema"
_CHOICE: Final = "contract.choice"
_TOOLS: Final = "contract.tools"


def check_contract(
    demands: FormDemands, choice: Choice, schemas: SchemaCache, work: WorkBudget
) -> Iterator[Finding]:
    """Yield what there is to say about one choice; nothing when the request demands nothing of it.

    Raises:
        WorkExceededError: The checks would take more steps than are left.
    """
    yield from _check_calls(demands, choice, schemas, work)
    # A turn that calls the client's tools has no final answer yet, and its text is a remark.
    if not (demands.has_tools and any(call.is_function for call in choice.tool_calls)):
        finding = _check_format(demands, choice.text or "", schemas, work)
        if finding is not None:
            yield finding


def _check_format(demands: FormDemands, text: str, schemas: SchemaCache, work: WorkBudget) -> Finding | None:
    match demands.format:
        case AnswerFormat.JSON:
            value, is_json = _load(text)
            if not is_json or not isinstance(value, dict):
                return rejected(_JSON, "contract.json", f"no JSON object: {printable(text)}")
            return passed(_JSON)
        case AnswerFormat.SCHEMA:
            if demands.schema is None:
                return undecided(_SCHEMA, "contract.schema-unknown", "the request's schema is not known")
            return _check_schema(_SCHEMA, demands.schema, text, schemas, work)
        case AnswerFormat.CHOICE:
            if not demands.options:
                return undecided(_CHOICE, "contract.choice-unknown", "the request's options are not known")
            if text not in demands.options:
                return rejected(_CHOICE, "contract.choice", f"none of the options: {printable(text)}")
            return passed(_CHOICE)
    return None


def _check_schema(  # noqa: PLR0917  what is checked, against what, with which means
    check: str, schema: object, text: str, schemas: SchemaCache, work: WorkBudget, place: str = ""
) -> Finding:
    value, is_json = _load(text)
    if not is_json:
        return rejected(check, f"{check}-no-json", f"{place}no JSON: {printable(text)}")
    try:
        compiled = schemas.compile(schema)
        mismatch = compiled.first_mismatch(value, work)
    except SchemaError as error:
        return undecided(check, f"{check}-unusable", f"{place}{error}")
    if mismatch is not None:
        return rejected(
            check, check, f"{place}{mismatch.keyword} at {printable(mismatch.place) or 'the top'}"
        )
    return passed(check, f"without {', '.join(compiled.skipped)}" if compiled.skipped else "")


def _check_calls(
    demands: FormDemands, choice: Choice, schemas: SchemaCache, work: WorkBudget
) -> Iterator[Finding]:
    if not demands.has_tools:
        return
    calls = [call for call in choice.tool_calls if call.is_function]
    broken = _broken_rule(demands, choice, len(calls))
    if broken is not None:
        yield broken
    elif calls and demands.tools is None:
        yield undecided(_TOOLS, "contract.tools-unknown", "the request's tools are not known")
    else:
        for call in calls:
            yield _check_call(demands, call, schemas, work)


def _broken_rule(demands: FormDemands, choice: Choice, calls: int) -> Finding | None:
    """Say which rule about the number of calls is broken; tools that the server runs itself satisfy a demand too."""
    if calls and demands.call_rule is CallRule.NONE:
        return rejected(_TOOLS, "contract.tool-choice", "a tool is called, which the request forbids")
    if not choice.tool_calls and demands.call_rule in {CallRule.REQUIRED, CallRule.NAMED}:
        return rejected(_TOOLS, "contract.tool-choice", "no tool is called, which the request demands")
    if calls > 1 and not demands.allows_parallel:
        return rejected(_TOOLS, "contract.parallel-calls", f"{calls} calls, the request allows one")
    return None


def _check_call(demands: FormDemands, call: ToolCall, schemas: SchemaCache, work: WorkBudget) -> Finding:
    tools = demands.tools or {}
    if call.name is None or call.name not in tools:
        return rejected(
            _TOOLS, "contract.unknown-tool", f"no tool is declared as {printable(call.name or '')}"
        )
    if demands.allowed is not None and call.name not in demands.allowed:
        return rejected(_TOOLS, "contract.tool-choice", f"{printable(call.name)} may not be called")
    schema = tools[call.name]
    # Without parameters some models write nothing instead of `{}`, and clients take both.
    text = call.arguments if call.arguments and call.arguments.strip() else "{}"
    place = f"{printable(call.name, 40)}: "
    return _check_schema(_TOOLS, {"type": "object"} if schema is None else schema, text, schemas, work, place)


def _load(text: str) -> tuple[object, bool]:
    """Read JSON strictly, as a client would: no NaN, nothing around it but white space."""
    try:
        return orjson.loads(text), True
    except orjson.JSONDecodeError:
        return None, False
