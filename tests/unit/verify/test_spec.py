from __future__ import annotations

from typing import Any

import pytest

from extproc.errors import BadRequestError
from extproc.facts.request import Api
from extproc.verify.confidence import ConfidenceSpec
from extproc.verify.demands import NO_DEMANDS, AnswerFormat
from extproc.verify.expectation import parse_expectation
from extproc.verify.policy import JudgeKind, JudgeSpec, VerifyPolicy
from extproc.verify.spec import VerificationSpec, needs_request_body, specify

_CHAT: dict[str, Any] = {"messages": [{"role": "user", "content": "2+2?"}]}
_JUDGE = JudgeSpec(kind=JudgeKind.HTTP, url="http://judge/")


def _specify(header: str = "", policy: VerifyPolicy | None = None, **fields: Any) -> VerificationSpec:
    expectation = parse_expectation(header) if header else None
    return specify(Api.CHAT_COMPLETIONS, {**_CHAT, **fields}, expectation, policy or VerifyPolicy())


def test_limits_and_choices_come_from_the_body() -> None:
    """As the request's facts have them."""
    spec = _specify(max_tokens=50, n=3)

    assert (50, 3) == (spec.transport.client_limit, spec.transport.choices)


def test_a_completion_has_the_api_s_default_limit() -> None:
    """Sixteen tokens when the client says nothing, for each of its prompts."""
    spec = specify(Api.COMPLETIONS, {"prompt": ["a", "b"]}, None, VerifyPolicy())

    assert (16, 2) == (spec.transport.client_limit, spec.transport.choices)


def test_the_operator_s_strictness_is_taken_over() -> None:
    """Each switch of the policy that concerns the transport reaches it."""
    policy = VerifyPolicy(own_limit_is_failure=True, content_filter_is_failure=False, refusal_is_failure=True)
    transport = _specify(policy=policy).transport

    assert (True, False, True) == (
        transport.own_limit_is_failure,
        transport.content_filter_is_failure,
        transport.refusal_is_failure,
    )


def test_families_can_be_switched_off() -> None:
    """A policy without contract and expectation demands neither."""
    policy = VerifyPolicy(contract=False, expectation=False)
    spec = _specify("exact:4", policy, response_format={"type": "json_object"})

    assert (NO_DEMANDS, None, False) == (spec.demands, spec.expectation, spec.says_something)


def test_the_prompt_is_kept_for_quotations_alone() -> None:
    """It is large."""
    assert ("2+2?",) == _specify("quoted").prompt
    assert _specify("exact:4").prompt is None


@pytest.mark.parametrize(
    ("header", "fields", "policy", "needed"),
    [
        ("", {}, VerifyPolicy(), False),
        ("exact:4", {}, VerifyPolicy(), False),
        ("", {"response_format": {"type": "json_object"}}, VerifyPolicy(), False),
        ("quoted", {}, VerifyPolicy(), True),
        ("", {"tools": [{"function": {"name": "f"}}]}, VerifyPolicy(), True),
        (
            "",
            {"response_format": {"type": "json_schema", "json_schema": {"schema": {}}}},
            VerifyPolicy(),
            True,
        ),
        ("", {}, VerifyPolicy(judge=_JUDGE), True),
        ("quoted", {"echo": True}, VerifyPolicy(judge=_JUDGE), False),
    ],
)
def test_the_body_is_needed_for_what_is_large(
    header: str, fields: dict[str, Any], policy: VerifyPolicy, needed: bool
) -> None:
    """Schemas, tools, quotations and the judge; never for an answer that cannot be judged."""
    assert needed is needs_request_body(_specify(header, policy, **fields))


@pytest.mark.parametrize(
    ("header", "fields", "policy", "something"),
    [
        ("", {}, VerifyPolicy(), False),
        ("exact:4", {}, VerifyPolicy(), True),
        ("", {"response_format": {"type": "json_object"}}, VerifyPolicy(), True),
        ("", {}, VerifyPolicy(confidence=ConfidenceSpec(min_mean=-1.0)), True),
        ("", {}, VerifyPolicy(judge=_JUDGE), True),
        ("exact:4", {"echo": True}, VerifyPolicy(), False),
    ],
)
def test_whether_an_answer_can_be_accepted_at_all(
    header: str, fields: dict[str, Any], policy: VerifyPolicy, something: bool
) -> None:
    """Some check of the content must apply; an echoed prompt spoils them all."""
    assert something is _specify(header, policy, **fields).says_something


def test_unknown_apis_have_no_demands() -> None:
    """They are passed through."""
    spec = specify(Api.OTHER, {"response_format": {"type": "json_object"}}, None, VerifyPolicy())

    assert AnswerFormat.TEXT is spec.demands.format


def test_a_malformed_body_is_the_client_s_mistake() -> None:
    """The same error as when the request was read."""
    with pytest.raises(BadRequestError):
        specify(Api.CHAT_COMPLETIONS, {"messages": 3}, None, VerifyPolicy())
