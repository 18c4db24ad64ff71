from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from extproc.facts.answer import Choice, FinishReason, ResponseFacts
from extproc.facts.request import Api
from extproc.facts.response import parse_response
from extproc.verify.compose import verify, wants_judge, with_judgement
from extproc.verify.confidence import ConfidenceSpec
from extproc.verify.expectation import parse_expectation
from extproc.verify.finding import passed, rejected, undecided
from extproc.verify.policy import JudgeKind, JudgeSpec, VerifyPolicy
from extproc.verify.schema import SchemaCache
from extproc.verify.spec import VerificationSpec, specify
from extproc.verify.verdict import Verdict, VerdictKind

Answer = Callable[..., ResponseFacts]

_SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
_SCHEMA_FORMAT = {"type": "json_schema", "json_schema": {"name": "a", "schema": _SCHEMA}}


def _specify(header: str = "", policy: VerifyPolicy | None = None, **fields: Any) -> VerificationSpec:
    document = {"messages": [{"role": "user", "content": "What is 2+2?"}], **fields}
    expectation = parse_expectation(header) if header else None
    return specify(Api.CHAT_COMPLETIONS, document, expectation, policy or VerifyPolicy())


def test_a_whole_answer_alone_is_unverified(answer: Answer, schemas: SchemaCache) -> None:
    """Nobody said what would be right."""
    verdict = verify(_specify(), answer("4"), schemas)

    assert Verdict(VerdictKind.UNVERIFIED, "verify.nothing-asked", "", ("transport", "repetition")) == verdict


@pytest.mark.parametrize(
    ("spec", "text", "check"),
    [
        (_specify("exact:4"), "4", "expectation.exact"),
        (_specify(response_format={"type": "json_object"}), "{}", "contract.json"),
        (_specify(response_format=_SCHEMA_FORMAT), '{"n": 4}', "contract.schema"),
    ],
)
def test_a_check_of_the_content_accepts(
    spec: VerificationSpec, text: str, check: str, answer: Answer, schemas: SchemaCache
) -> None:
    """The verdict names the checks that the answer met."""
    verdict = verify(spec, answer(text), schemas)

    assert Verdict(VerdictKind.ACCEPTED, checks=("transport", "repetition", check)) == verdict


def test_the_first_rejection_wins(answer: Answer, schemas: SchemaCache) -> None:
    """The contract comes before the expectation."""
    verdict = verify(_specify("exact:4", response_format=_SCHEMA_FORMAT), answer('{"n": "4"}'), schemas)

    assert (VerdictKind.REJECTED, "contract.schema", ("transport", "repetition")) == (
        verdict.kind,
        verdict.reason,
        verdict.checks,
    )


def test_every_choice_is_checked(answer: Answer, schemas: SchemaCache) -> None:
    """One wrong answer among several makes the response wrong."""
    spec = _specify("contains:4", n=3)

    assert VerdictKind.ACCEPTED is verify(spec, answer("4", "is 4", "4!"), schemas).kind
    assert VerdictKind.REJECTED is verify(spec, answer("4", "4", "5"), schemas).kind
    assert "transport.choices" == verify(spec, answer("4", "4"), schemas).reason


def test_a_check_that_could_not_be_made_accepts_nothing(answer: Answer, schemas: SchemaCache) -> None:
    """Even when another one was met."""
    format_ = {"type": "json_schema", "json_schema": {"schema": {"$ref": "http://example.com"}}}
    verdict = verify(_specify("contains:4", response_format=format_), answer('{"n": 4}'), schemas)

    assert (VerdictKind.UNVERIFIED, "contract.schema-unusable") == (verdict.kind, verdict.reason)
    assert "expectation.contains" in verdict.checks


def test_a_rejection_wins_over_a_doubt(answer: Answer, schemas: SchemaCache) -> None:
    """What is wrong is wrong, whatever else could not be checked."""
    format_ = {"type": "json_schema", "json_schema": {"schema": {"$ref": "http://example.com"}}}
    verdict = verify(_specify("contains:5", response_format=format_), answer('{"n": 4}'), schemas)

    assert VerdictKind.REJECTED is verdict.kind


def test_loops_are_rejected_unless_allowed(answer: Answer, schemas: SchemaCache) -> None:
    """An operator may serve models that are meant to repeat themselves."""
    looping = answer(Choice(text="I will do it now. " * 200, finish_reason=FinishReason.LENGTH))

    assert "repetition.loop" == verify(_specify(max_tokens=100), looping, schemas).reason
    assert (
        VerdictKind.UNVERIFIED
        is verify(_specify(policy=VerifyPolicy(repetition=None), max_tokens=100), looping, schemas).kind
    )


def test_confidence_accepts_and_rejects(answer: Answer, schemas: SchemaCache) -> None:
    """And is silent where the figures are missing."""
    spec = _specify(policy=VerifyPolicy(confidence=ConfidenceSpec(min_mean=-1.0)))
    kinds = [
        verify(spec, answer(Choice(text="4", token_logprobs=values)), schemas).kind
        for values in ((-0.5,), (-2.0,), None)
    ]

    assert [VerdictKind.ACCEPTED, VerdictKind.REJECTED, VerdictKind.UNVERIFIED] == kinds


def test_a_refusal_is_not_held_against_the_contract(answer: Answer, schemas: SchemaCache) -> None:
    """It has no JSON and need not have any."""
    verdict = verify(
        _specify(response_format=_SCHEMA_FORMAT), answer(Choice(text=None, refusal="No.")), schemas
    )

    assert (VerdictKind.UNVERIFIED, "transport.refusal") == (verdict.kind, verdict.reason)


def test_an_echoed_prompt_is_no_answer(schemas: SchemaCache, answer: Answer) -> None:
    """A text that begins with the prompt may hold anything that was asked for."""
    spec = specify(
        Api.COMPLETIONS, {"prompt": "4", "echo": True}, parse_expectation("contains:4"), VerifyPolicy()
    )

    assert VerdictKind.UNVERIFIED is verify(spec, answer("4 and more", api=Api.COMPLETIONS), schemas).kind


def test_large_answers_and_long_work_stay_unverified(answer: Answer, schemas: SchemaCache) -> None:
    """Bounds end in a doubt, never in a rejection."""
    spec = _specify("contains:4")
    poor = _specify("regex:[ab]*a[ab]{900}c", VerifyPolicy(max_work_steps=10))

    assert "verify.too-large" == verify(spec, answer("4", body_bytes=2 << 20), schemas).reason
    assert "verify.too-much-work" == verify(poor, answer("ab" * 500), schemas).reason


def test_from_bytes_to_a_verdict(chat_body: Callable[..., bytes], schemas: SchemaCache) -> None:
    """The two halves fit."""
    response = parse_response(Api.CHAT_COMPLETIONS, 200, "application/json", chat_body(content='{"n": 4}'))

    assert VerdictKind.ACCEPTED is verify(_specify(response_format=_SCHEMA_FORMAT), response, schemas).kind


_JUDGED = _specify(policy=VerifyPolicy(judge=JudgeSpec(kind=JudgeKind.HTTP, url="http://judge/")))


@pytest.mark.parametrize(
    ("spec", "text", "status", "wanted"),
    [
        (_JUDGED, "4", 200, True),
        (_JUDGED, "", 200, False),
        (_JUDGED, "4", 500, False),
        (_specify(), "4", 200, False),
    ],
)
def test_a_judge_is_asked_last(
    spec: VerificationSpec, text: str, status: int, wanted: bool, answer: Answer, schemas: SchemaCache
) -> None:
    """Only where there is one, and only about an answer that nothing cheaper rejected."""
    verdict = verify(spec, answer(text, status=status), schemas)

    assert wanted is wants_judge(spec, verdict)


_UNASKED = Verdict(VerdictKind.UNVERIFIED, "verify.nothing-asked", "", ("transport",))
_ACCEPTED = Verdict(VerdictKind.ACCEPTED, "", "", ("transport", "contract.json"))
_DOUBTED = Verdict(VerdictKind.UNVERIFIED, "contract.schema-unusable", "", ("transport",))


@pytest.mark.parametrize(
    ("verdict", "judgement", "kind", "reason"),
    [
        (_UNASKED, passed("judge"), VerdictKind.ACCEPTED, ""),
        (_ACCEPTED, passed("judge"), VerdictKind.ACCEPTED, ""),
        (_DOUBTED, passed("judge"), VerdictKind.UNVERIFIED, "contract.schema-unusable"),
        (_ACCEPTED, rejected("judge", "judge.incorrect", ""), VerdictKind.REJECTED, "judge.incorrect"),
        (_ACCEPTED, undecided("judge", "judge.unreachable", ""), VerdictKind.UNVERIFIED, "judge.unreachable"),
    ],
)
def test_the_judge_s_word_is_added(verdict: Verdict, judgement: Any, kind: VerdictKind, reason: str) -> None:
    """It accepts where nothing was asked, rejects anything, and its silence only marks."""
    result = with_judgement(verdict, judgement)

    assert (kind, reason) == (result.kind, result.reason)
