"""Ties the verifiers together for the ATTEMPT filter: from the bytes of a request and its answer to a verdict."""

from __future__ import annotations

from dataclasses import dataclass

from extproc.decide.attempts import CarriedPlan, CarriedSpec
from extproc.errors import RoutingError
from extproc.facts.answer import FinishReason, Usage
from extproc.facts.json_body import JsonObject, read_object
from extproc.facts.request import Api
from extproc.facts.response import parse_response
from extproc.protocol.events import AnswerReady
from extproc.verify.compose import verify, wants_judge, with_judgement
from extproc.verify.expectation import Expectation, parse_expectation
from extproc.verify.judge import JudgeCall, judge_request, judge_verdict
from extproc.verify.policy import VerifyPolicy
from extproc.verify.schema import SchemaCache
from extproc.verify.spec import VerificationSpec, needs_request_body, specify
from extproc.verify.spec_text import decode_spec, encode_spec
from extproc.verify.verdict import Verdict, VerdictKind

NO_USAGE = Usage()
"""Of an answer that did not say."""

_CUT = frozenset((FinishReason.LENGTH, FinishReason.CONTEXT_FULL))


@dataclass(frozen=True, slots=True)
class Checked:
    """An answer after all checks but the external judge's.

    Attributes:
        verdict: Their word.
        usage: Token counts as the instance reported them.
        judge_call: The call to make for the judge's word; None when that is not wanted.
        was_cut: True when a limit ended one of the answers, whoever set it.
    """

    verdict: Verdict
    usage: Usage = NO_USAGE
    judge_call: JudgeCall | None = None
    was_cut: bool = False


class AnswerVerifier:
    """Says what answers must meet, and whether they do.

    Args:
        policy: What the operator decided.
        schemas: Compiled schemas, kept between answers.
    """

    def __init__(self, policy: VerifyPolicy, schemas: SchemaCache) -> None:
        self.policy = policy
        self._schemas = schemas

    def specify(self, *, api: Api, request_body: bytes, expectation: str) -> CarriedSpec:
        """Say in a header's text what the answer to the client's request must meet.

        Raises:
            BadRequestError: The body or the expectation is malformed.
        """
        spec = specify(api, read_object(request_body), _expected(expectation), self.policy)
        return CarriedSpec(text=encode_spec(spec), needs_request=needs_request_body(spec))

    def verify(self, plan: CarriedPlan, answer: AnswerReady) -> Checked:
        """Check an answer, in time that the policy bounds."""
        document: JsonObject = {}
        try:
            if answer.request_body is not None:
                document = read_object(answer.request_body)
                spec: VerificationSpec | None = specify(
                    plan.api, document, _expected(answer.expectation), self.policy
                )
            else:
                spec = decode_spec(plan.spec, self.policy)
        except RoutingError:
            spec = None
        facts = parse_response(plan.api, answer.status, answer.content_type, answer.body)
        usage = facts.usage
        if spec is None:
            # DECIDE understood the request, so this is a replica of another version.
            return Checked(Verdict(VerdictKind.UNVERIFIED, "verify.unknown-demands"), usage)
        verdict = verify(spec, facts, self._schemas)
        call = None
        if self.policy.judge is not None and wants_judge(spec, verdict):
            call = judge_request(self.policy.judge, document, facts)
        was_cut = any(choice.finish_reason in _CUT for choice in facts.choices)
        return Checked(verdict, usage, call, was_cut)

    def judged(self, checked: Checked, status: int | None, reply: bytes) -> Verdict:
        """Add the external judge's word; a status of None says that no reply came."""
        if self.policy.judge is None:
            return checked.verdict
        return with_judgement(checked.verdict, judge_verdict(self.policy.judge.kind, status, reply))


def _expected(text: str) -> Expectation | None:
    return parse_expectation(text) if text else None
