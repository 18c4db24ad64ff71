"""All checks of one answer, in the order of their cost, and the verdict on it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from extproc.facts.answer import ResponseFacts
from extproc.verify import judge, repetition, transport
from extproc.verify.confidence import check_confidence
from extproc.verify.contract import check_contract
from extproc.verify.expected import check_expectation
from extproc.verify.finding import Finding, Outcome, passed, undecided
from extproc.verify.repetition import check_repetition
from extproc.verify.schema import SchemaCache
from extproc.verify.spec import VerificationSpec
from extproc.verify.transport import check_transport
from extproc.verify.verdict import Verdict, VerdictKind
from extproc.verify.work import WorkBudget, WorkExceededError

_WITHOUT_CONTENT: Final = frozenset((transport.CHECK, repetition.CHECK))
"""Checks that any answer meets which is whole: they accept nothing."""


def verify(spec: VerificationSpec, response: ResponseFacts, schemas: SchemaCache) -> Verdict:
    """Return the word on an answer; raises for no answer whatever.

    1. The first rejection rejects, whichever of the choices it concerns.
    2. A check that was asked for and could not be made leaves the answer unverified.
    3. An answer that met a check of its content is accepted.
    4. Else it is unverified: whole, and nothing more is known.
    """
    checks: dict[str, None] = {}
    doubt: Finding | None = None
    for finding in _bounded_findings(spec, response, schemas):
        match finding.outcome:
            case Outcome.REJECTED:
                return Verdict(VerdictKind.REJECTED, finding.reason, finding.detail, tuple(checks))
            case Outcome.PASSED:
                checks[finding.check] = None
            case Outcome.UNDECIDED:
                doubt = doubt or finding
    if doubt is not None:
        return Verdict(VerdictKind.UNVERIFIED, doubt.reason, doubt.detail, tuple(checks))
    if checks.keys() <= _WITHOUT_CONTENT:
        return Verdict(VerdictKind.UNVERIFIED, "verify.nothing-asked", checks=tuple(checks))
    return Verdict(VerdictKind.ACCEPTED, checks=tuple(checks))


def wants_judge(spec: VerificationSpec, verdict: Verdict) -> bool:
    """Tell whether the external judge is to be asked: it is configured, and nothing cheaper has rejected."""
    return (
        spec.policy.judge is not None
        and not spec.echoes_prompt
        and transport.CHECK in verdict.checks
        and verdict.kind is not VerdictKind.REJECTED
    )


def with_judgement(verdict: Verdict, judgement: Finding) -> Verdict:
    """Add the judge's word: its rejection rejects, its silence leaves the answer unverified, never rejected.

    Its approval accepts what is unverified for want of a check, and does not mend a check that could not be made.
    """
    match judgement.outcome:
        case Outcome.REJECTED:
            return replace(
                verdict,
                kind=VerdictKind.REJECTED,
                reason=judgement.reason,
                detail=judgement.detail,
            )
        case Outcome.UNDECIDED:
            return replace(
                verdict,
                kind=VerdictKind.UNVERIFIED,
                reason=judgement.reason,
                detail=judgement.detail,
            )
        case Outcome.PASSED:
            checks = (*verdict.checks, judge.CHECK)
            if verdict.reason == "verify.nothing-asked":
                return Verdict(VerdictKind.ACCEPTED, checks=checks)
            return replace(verdict, checks=checks)


def _bounded_findings(
    spec: VerificationSpec, response: ResponseFacts, schemas: SchemaCache
) -> Iterator[Finding]:
    try:
        yield from _findings(spec, response, schemas)
    except WorkExceededError:
        yield undecided("verify", "verify.too-much-work", "the checks would take too long")


def _findings(spec: VerificationSpec, response: ResponseFacts, schemas: SchemaCache) -> Iterator[Finding]:
    whole = check_transport(spec.transport, response)
    yield whole
    if whole.outcome is not Outcome.PASSED or spec.echoes_prompt:
        return
    if spec.policy.repetition is not None and response.choices:
        for choice in response.choices:
            finding = check_repetition(spec.policy.repetition, choice)
            if finding is not None:
                yield finding
        yield passed(repetition.CHECK)
    if not spec.says_something:
        return
    if response.body_bytes > spec.policy.max_answer_bytes:
        yield undecided("verify", "verify.too-large", f"{response.body_bytes} bytes")
        return
    yield from _content_findings(spec, response, schemas)


def _content_findings(
    spec: VerificationSpec, response: ResponseFacts, schemas: SchemaCache
) -> Iterator[Finding]:
    work = WorkBudget(spec.policy.max_work_steps)
    for choice in response.choices:
        yield from check_contract(spec.demands, choice, schemas, work)
        if spec.expectation is not None:
            yield check_expectation(spec.expectation, choice, spec.prompt, work)
        if spec.policy.confidence is not None:
            finding = check_confidence(spec.policy.confidence, choice)
            if finding is not None:
                yield finding
