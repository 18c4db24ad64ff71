"""A verification spec as the compact text of a request header, so that any replica can verify any attempt.

`1;api=chat_completions;limit=256;n=2;form=json;expect=exact%3AParis`: a version, then `key=value` fields with
percent-encoded values. What is larger than a header should be (schemas, tools, the prompt) is left out; a reader that
has the request's body uses `specify` instead. A reader skips fields that it does not know.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final
from urllib.parse import quote, unquote

from extproc.errors import BadRequestError
from extproc.facts.request import Api
from extproc.verify.demands import NO_DEMANDS, AnswerFormat, CallRule, FormDemands
from extproc.verify.expectation import Expectation, parse_expectation
from extproc.verify.policy import VerifyPolicy
from extproc.verify.spec import VerificationSpec, transport_spec

_VERSION: Final = "1"
_MAX_CHARS: Final = 16_384
_MAX_NUMBER_DIGITS: Final = 18


def encode_spec(spec: VerificationSpec) -> str:
    """Return the header's text; the policy is not in it, since each replica has the operator's."""
    fields: list[tuple[str, str]] = [("api", spec.api)]
    if spec.transport.client_limit is not None:
        fields.append(("limit", str(spec.transport.client_limit)))
    if spec.transport.choices != 1:
        fields.append(("n", str(spec.transport.choices)))
    demands = spec.demands
    if demands.format is not AnswerFormat.TEXT:
        fields.append(("form", demands.format))
    if demands.has_tools:
        fields.append(("calls", demands.call_rule))
        if not demands.allows_parallel:
            fields.append(("single", "1"))
    if spec.echoes_prompt:
        fields.append(("echo", "1"))
    if spec.expectation is not None:
        fields.append(("expect", spec.expectation.header))
    return ";".join((_VERSION, *(f"{key}={quote(value, safe='')}" for key, value in fields)))


def decode_spec(text: str, policy: VerifyPolicy) -> VerificationSpec | None:
    """Return the spec under a policy; None for a text that is empty, malformed or of another version.

    Schemas, tools and the prompt are unknown in it: the checks that need them are undecided.
    """
    version, *parts = text[:_MAX_CHARS].split(";")
    if version.strip() != _VERSION or len(text) > _MAX_CHARS:
        return None
    fields: dict[str, str] = {}
    for part in parts:
        key, _, value = part.partition("=")
        fields[key.strip()] = unquote(value.strip())
    try:
        api = Api(fields.get("api", ""))
        limit, choices = _number(fields.get("limit")), _number(fields.get("n", "1"))
        demands = _read_demands(fields) if policy.contract else NO_DEMANDS
        expectation = _read_expectation(fields) if policy.expectation else None
    except (ValueError, BadRequestError):
        return None
    return VerificationSpec(
        api=api,
        transport=replace(
            transport_spec(policy), client_limit=limit, choices=1 if choices is None else choices
        ),
        demands=demands,
        expectation=expectation,
        policy=policy,
        echoes_prompt="echo" in fields,
    )


def _read_demands(fields: dict[str, str]) -> FormDemands:
    return FormDemands(
        format=AnswerFormat(fields.get("form", AnswerFormat.TEXT)),
        has_tools="calls" in fields,
        call_rule=CallRule(fields.get("calls", CallRule.AUTO)),
        allows_parallel="single" not in fields,
    )


def _read_expectation(fields: dict[str, str]) -> Expectation | None:
    text = fields.get("expect")
    return None if text is None else parse_expectation(text)


def _number(text: str | None) -> int | None:
    """Return a number that is not negative.

    Raises:
        ValueError: It is something else.
    """
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= _MAX_NUMBER_DIGITS):
        raise ValueError(text[:40])
    return int(text)
