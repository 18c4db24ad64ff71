"""What the router is told of a try that the ATTEMPT filter was done with."""

from __future__ import annotations

from extproc.calibrate.outcome import VerdictRecord
from extproc.telemetry.records import AttemptRecord
from extproc.verify.transport import NO_ANSWER_REASONS
from extproc.verify.verdict import VerdictKind


def verdict_record(record: AttemptRecord) -> VerdictRecord | None:
    """What was said of the try's answer; None when nothing was, or its request was too long for its instance."""
    verdict = record.verdict
    if record.is_overflow or verdict.kind is VerdictKind.UNVERIFIED:
        return None
    return VerdictRecord(
        decision_id=record.decision_id,
        model=record.model,
        address=record.address,
        chance=record.chance,
        is_answer=verdict.reason not in NO_ANSWER_REASONS,
        is_correct=verdict.kind is VerdictKind.ACCEPTED,
        goes_on=record.goes_on,
        next_address=record.next_address or None,
        prompt_tokens=record.prompt_tokens,
        completion_tokens=record.completion_tokens,
        choices=record.choices,
        was_cut=record.was_cut,
        answer_seconds=record.answer_seconds,
    )
