from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from extproc.errors import BadRequestError
from extproc.facts.request import Api
from extproc.facts.response import parse_response
from extproc.verify.compose import verify
from extproc.verify.confidence import ConfidenceSpec
from extproc.verify.expectation import Expectation, parse_expectation
from extproc.verify.policy import VerifyPolicy
from extproc.verify.schema import SchemaCache
from extproc.verify.spec import specify
from extproc.verify.spec_text import decode_spec, encode_spec
from extproc.verify.verdict import Verdict, VerdictKind

_POLICY = VerifyPolicy(confidence=ConfidenceSpec(min_mean=-1.0, min_token=-5.0))

_KEYS = st.sampled_from([
    "type", "properties", "items", "required", "enum", "const", "pattern", "$ref", "$defs", "allOf", "anyOf", "not",
    "minimum", "uniqueItems", "patternProperties", "additionalProperties", "$schema", "$id", "dependencies", "a", "b",
])  # fmt: skip
_LEAVES = st.sampled_from([
    None, True, False, 0, -1, 1.5, 2**63, 1e308, "", "a", "#", "#/$defs/a", "http://example.com", "object", "string",
    "(a+)+$", "(?=a)", "http://json-schema.org/draft-04/schema#",
])  # fmt: skip
_VALUES = st.recursive(
    _LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=4),
    max_leaves=15,
)
_HEADERS = st.sampled_from(
    ["exact:a", "contains:a", "regex:(a+)+$", "quoted", "quoted:0", "json-pointer:/a=1"]
)
_EXPECTATIONS = st.none() | st.builds(parse_expectation, _HEADERS)
_TEXTS = (
    st.text(max_size=30) | st.builds(json.dumps, _VALUES) | st.sampled_from(['"a quoted span"', "\ud800"])
)
_MESSAGES = st.fixed_dictionaries({}, optional={
    "content": _TEXTS | _VALUES,
    "refusal": _TEXTS | st.none(),
    "tool_calls": _VALUES | st.lists(st.fixed_dictionaries({"function": st.fixed_dictionaries(
        {"name": st.sampled_from(["f", "g"]), "arguments": _TEXTS | _VALUES})}), max_size=2),
})  # fmt: skip
_DOCUMENTS = st.fixed_dictionaries({"messages": st.just([{"role": "user", "content": "a quoted span"}])}, optional={
    "response_format": _VALUES | st.fixed_dictionaries({
        "type": st.just("json_schema"), "json_schema": st.fixed_dictionaries({"schema": _VALUES})}),
    "tools": st.lists(_VALUES, max_size=2) | st.just([{"type": "function", "function": {"name": "f", "parameters": {"required": ["a"]}}}]),
    "tool_choice": _VALUES | st.sampled_from(["required", "none"]),
    "parallel_tool_calls": _VALUES,
    "structured_outputs": _VALUES,
    "n": st.integers(1, 3),
    "max_tokens": st.integers(1, 9),
})  # fmt: skip


def _sound(verdict: Verdict) -> bool:
    """Tell whether a verdict may go into headers: bounded, printable, with a reason where one is due."""
    texts = (verdict.reason, verdict.detail)
    has_reason = bool(verdict.reason) is not (verdict.kind is VerdictKind.ACCEPTED)
    return has_reason and all(text.isascii() and text.isprintable() and len(text) <= 200 for text in texts)


@settings(max_examples=400, deadline=None)
@given(
    document=_DOCUMENTS,
    expectation=_EXPECTATIONS,
    message=_MESSAGES,
    reason=st.sampled_from(["stop", "length", "tool_calls", "content_filter", None]),
)
def test_no_answer_to_no_request_raises(
    document: dict[str, Any], expectation: Expectation | None, message: dict[str, Any], reason: str | None
) -> None:
    """Strange schemas, tools and answers end in a sound verdict, with the body at hand and without."""
    choice = {"message": message, "finish_reason": reason, "logprobs": {"content": [{"logprob": -0.5}]}}
    body = json.dumps({"choices": [choice] * document.get("n", 1)}).encode()
    response = parse_response(Api.CHAT_COMPLETIONS, 200, "application/json", body)
    spec = specify(Api.CHAT_COMPLETIONS, document, expectation, _POLICY)
    carried = decode_spec(encode_spec(spec), _POLICY)

    assert carried is not None
    assert _sound(verify(spec, response, SchemaCache()))
    assert _sound(verify(carried, response, SchemaCache()))


@settings(max_examples=200, deadline=None)
@given(
    api=st.sampled_from(Api),
    document=st.dictionaries(
        st.sampled_from(["messages", "prompt", "input", "text", "tools", "echo"]), _VALUES
    ),
    status=st.sampled_from([200, 204, 404, 503]),
    body=st.binary(max_size=40),
)
def test_no_bytes_in_no_api_raise(api: Api, document: dict[str, Any], status: int, body: bytes) -> None:
    """What cannot be specified is the client's mistake; everything else has a verdict."""
    try:
        spec = specify(api, document, None, _POLICY)
    except BadRequestError:
        return
    response = parse_response(api, status, "application/json", body)

    assert _sound(verify(spec, response, SchemaCache()))


@pytest.mark.parametrize(
    ("fields", "header", "text"),
    [
        ({}, None, "x" * 1_000_000),
        ({}, None, "ab\n" * 333_333),
        ({}, "regex:^(a|aa)+$", "a" * 1_000_000 + "b"),
        ({}, "quoted", '"' + "span of words " * 70_000 + '"'),
        ({}, "json-pointer:/a=1", "[" * 1_000_000),
        ({"response_format": {"type": "json_object"}}, None, "[" * 1_000_000),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": {
                "items": {"anyOf": [{"pattern": "^(x|y)+$"}, {"$ref": "#"}]}}}}},
            None,
            json.dumps([["xy" * 10] * 100] * 400),
        ),
    ],
)  # fmt: skip
def test_a_megabyte_has_a_verdict(fields: dict[str, Any], header: str | None, text: str) -> None:
    """Large answers against the costlier checks: the budget is what ends them, not patience."""
    document = {"messages": [{"role": "user", "content": "hi"}], **fields}
    spec = specify(
        Api.CHAT_COMPLETIONS, document, parse_expectation(header) if header else None, VerifyPolicy()
    )
    body = json.dumps({"choices": [{"message": {"content": text}, "finish_reason": "stop"}]}).encode()

    assert _sound(
        verify(spec, parse_response(Api.CHAT_COMPLETIONS, 200, "application/json", body), SchemaCache())
    )
