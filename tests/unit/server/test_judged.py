from __future__ import annotations

import pytest

from extproc.facts.request import Api
from extproc.server.judged import verdict_record
from extproc.telemetry.records import AttemptRecord
from extproc.verify.transport import CONTEXT_OVERFLOW
from extproc.verify.verdict import Verdict, VerdictKind


def a_record(kind: VerdictKind, reason: str = "") -> AttemptRecord:
    """A judged try that another one follows."""
    return AttemptRecord(
        traceparent="",
        request_id="r",
        decision_id="d",
        api=Api.CHAT_COMPLETIONS,
        address="a:1",
        model="m",
        number=1,
        chance=0.5,
        ability=None,
        verdict=Verdict(kind, reason),
        is_verified=True,
        is_last=False,
        goes_on=True,
        has_answer=True,
        budget="",
        has_session=False,
        prompt_tokens=11,
        completion_tokens=7,
        choices=2,
        was_cut=True,
        elapsed_seconds=1.0,
        start_unix_ns=0,
        end_unix_ns=1,
    )


def test_what_was_said_of_an_answer_is_handed_on() -> None:
    """With the units of its length, and whether a limit ended it."""
    found = verdict_record(a_record(VerdictKind.REJECTED, "contract.json"))

    assert found is not None
    assert (False, True, True) == (found.is_correct, found.is_answer, found.goes_on)
    assert (11, 7, 2, True) == (
        found.prompt_tokens,
        found.completion_tokens,
        found.choices,
        found.was_cut,
    )


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("transport.abort", False),
        ("transport.error", False),
        ("transport.unreadable", False),
        ("transport.empty", True),
        ("transport.context-full", True),
        ("transport.choices", True),
    ],
)
def test_a_rejection_may_be_of_no_answer_at_all(reason: str, expected: bool) -> None:
    """Where the instance failed no model has answered; an empty answer, or a cut one, is one."""
    found = verdict_record(a_record(VerdictKind.REJECTED, reason))

    assert found is not None
    assert expected == found.is_answer


@pytest.mark.parametrize(
    "record",
    [
        a_record(VerdictKind.UNVERIFIED, "skipped.stream"),
        a_record(VerdictKind.REJECTED, CONTEXT_OVERFLOW),
    ],
)
def test_nothing_is_handed_on_where_nothing_was_said(record: AttemptRecord) -> None:
    """Of an answer that nobody looked into, or of a request that was too long."""
    assert None is verdict_record(record)
