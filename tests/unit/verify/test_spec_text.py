from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.facts.request import Api
from extproc.verify.expectation import parse_expectation
from extproc.verify.policy import VerifyPolicy
from extproc.verify.spec import VerificationSpec, specify
from extproc.verify.spec_text import decode_spec, encode_spec

_POLICY = VerifyPolicy()


def _specify(header: str = "", **fields: Any) -> VerificationSpec:
    document = {"messages": [{"role": "user", "content": "2+2?"}], **fields}
    return specify(Api.CHAT_COMPLETIONS, document, parse_expectation(header) if header else None, _POLICY)


@pytest.mark.parametrize(
    "spec",
    [
        _specify(),
        _specify("exact:a;b=c%25é".replace("é", "%C3%A9"), max_tokens=7, n=2),
        _specify("regex:^[;=]+$", response_format={"type": "json_object"}),
        _specify("json-pointer:/a=1", echo=True),
        specify(Api.OTHER, {}, None, _POLICY),
        specify(Api.EMBEDDINGS, {"input": ["a", "b"]}, None, _POLICY),
    ],
)
def test_what_fits_a_header_survives_it(spec: VerificationSpec) -> None:
    """Another replica gets the very same spec."""
    text = encode_spec(spec)

    assert text.isascii()
    assert text.isprintable()
    assert spec == decode_spec(text, _POLICY)


def test_what_does_not_fit_is_unknown() -> None:
    """Schemas, tools and prompts stay behind; that they exist does not."""
    spec = _specify(
        "quoted",
        response_format={"type": "json_schema", "json_schema": {"schema": {"type": "object"}}},
        tools=[{"function": {"name": "f"}}],
        tool_choice="required",
        parallel_tool_calls=False,
    )
    demands = replace(spec.demands, schema=None, tools=None)

    assert replace(spec, demands=demands, prompt=None) == decode_spec(encode_spec(spec), _POLICY)


def test_the_policy_is_the_reader_s() -> None:
    """What is switched off there stays off."""
    policy = VerifyPolicy(contract=False, expectation=False, own_limit_is_failure=True)
    text = encode_spec(_specify("exact:4", response_format={"type": "json_object"}))

    spec = decode_spec(text, policy)

    assert specify(Api.CHAT_COMPLETIONS, {"messages": [{"role": "user"}]}, None, policy) == spec


def test_fields_of_a_later_version_are_skipped() -> None:
    """Replicas of two versions can serve one request."""
    assert _specify() == decode_spec(encode_spec(_specify()) + ";colour=blue; ;=", _POLICY)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2;api=chat_completions",
        "1",
        "1;api=telepathy",
        "1;api=chat_completions;limit=-1",
        "1;api=chat_completions;n=two",
        "1;api=chat_completions;form=poem",
        "1;api=chat_completions;calls=maybe",
        "1;api=chat_completions;expect=(",
        "1;api=chat_completions;x=" + "y" * 20_000,
    ],
)
def test_a_text_that_cannot_be_read_is_no_spec(text: str) -> None:
    """Another version, unknown words, numbers that are none."""
    assert decode_spec(text, _POLICY) is None


@given(text=st.text(max_size=60) | st.from_regex(r"1;api=(chat_completions|other)(;[a-z]{1,6}=[^;]{0,8}){0,4}", fullmatch=True))  # fmt: skip
def test_no_text_raises(text: str) -> None:
    """A header from anywhere is a spec or none."""
    spec = decode_spec(text, _POLICY)

    assert spec is None or spec.policy is _POLICY
