from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest

from extproc.decide.attempts import CarriedPlan
from extproc.errors import BadRequestError
from extproc.facts.request import Api
from extproc.protocol.events import AnswerReady
from extproc.server.verification import AnswerVerifier
from extproc.verify.policy import JudgeKind, JudgeSpec, VerifyPolicy
from extproc.verify.schema import SchemaCache
from extproc.verify.verdict import VerdictKind

CHAT = Api.CHAT_COMPLETIONS
SCHEMA = {"type": "object", "required": ["city"]}
DEMAND = {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}


def request(**fields: Any) -> bytes:
    """A chat request."""
    return orjson.dumps({"model": "m", "messages": [{"role": "user", "content": "hi"}], **fields})


def answer(text: str, **changes: Any) -> AnswerReady:
    """A chat completion with a text."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    document = {"choices": [choice], "usage": {"prompt_tokens": 3, "completion_tokens": 9}}
    ready = AnswerReady(
        request_body=None,
        expectation="",
        status=200,
        content_type="application/json",
        body=orjson.dumps(document),
    )
    return replace(ready, **changes)


@pytest.fixture
def verifier() -> AnswerVerifier:
    """A verifier with the default policy and no judge."""
    return AnswerVerifier(VerifyPolicy(), SchemaCache())


@pytest.mark.parametrize(("text", "kind"), [("Paris", VerdictKind.ACCEPTED), ("Rome", VerdictKind.REJECTED)])
def test_an_expectation_travels_in_the_spec(verifier: AnswerVerifier, text: str, kind: VerdictKind) -> None:
    """The request's body is not needed, and the tokens are counted."""
    spec = verifier.specify(api=CHAT, request_body=request(), expectation="exact:Paris")
    checked = verifier.verify(CarriedPlan(api=CHAT, spec=spec.text), answer(text))

    assert (False, kind, 9, None) == (
        spec.needs_request, checked.verdict.kind, checked.usage.completion_tokens, checked.judge_call,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "kind"), [('{"city": 1}', VerdictKind.ACCEPTED), ("{}", VerdictKind.REJECTED)]
)
def test_a_schema_is_read_from_the_request(verifier: AnswerVerifier, text: str, kind: VerdictKind) -> None:
    """It is too large for a header, and the spec says so."""
    body = request(response_format=DEMAND)
    spec = verifier.specify(api=CHAT, request_body=body, expectation="")
    checked = verifier.verify(CarriedPlan(api=CHAT, needs_request=True), answer(text, request_body=body))

    assert (True, kind) == (spec.needs_request, checked.verdict.kind)


@pytest.mark.parametrize(
    ("plan", "changes"),
    [
        (CarriedPlan(api=CHAT), {}),
        (CarriedPlan(api=CHAT, spec="9;x"), {}),
        (CarriedPlan(api=CHAT), {"request_body": b"{"}),
        (CarriedPlan(api=CHAT), {"request_body": request(), "expectation": "nonsense"}),
    ],
)
def test_unknown_demands_leave_an_answer_unverified(
    verifier: AnswerVerifier, plan: CarriedPlan, changes: dict[str, Any]
) -> None:
    """A replica of another version decided: that is no mistake of the answer's."""
    checked = verifier.verify(plan, answer("x", **changes))

    assert (VerdictKind.UNVERIFIED, 9) == (checked.verdict.kind, checked.usage.completion_tokens)


def test_a_malformed_expectation_is_refused(verifier: AnswerVerifier) -> None:
    """DECIDE tells the client."""
    with pytest.raises(BadRequestError):
        verifier.specify(api=CHAT, request_body=request(), expectation="nonsense")


@pytest.mark.parametrize(
    ("status", "reply", "kind"),
    [
        (200, b'{"correct": true}', VerdictKind.ACCEPTED),
        (200, b'{"correct": false}', VerdictKind.REJECTED),
        (None, b"", VerdictKind.UNVERIFIED),
    ],
)
def test_a_judge_is_asked_and_heard(status: int | None, reply: bytes, kind: VerdictKind) -> None:
    """What nothing else could check is the judge's; its silence never rejects."""
    policy = VerifyPolicy(judge=JudgeSpec(kind=JudgeKind.HTTP, url="http://judge"))
    verifier = AnswerVerifier(policy, SchemaCache())
    body = request()
    spec = verifier.specify(api=CHAT, request_body=body, expectation="")
    checked = verifier.verify(CarriedPlan(api=CHAT, needs_request=True), answer("x", request_body=body))

    assert spec.needs_request
    assert checked.judge_call is not None
    assert kind is verifier.judged(checked, status, reply).kind


@pytest.mark.parametrize(
    ("reasons", "expected"),
    [(("stop",), False), (("length",), True), (("stop", "length"), True), (("tool_calls", "stop"), False)],
)
def test_an_answer_that_a_limit_ended_is_told_of(
    verifier: AnswerVerifier, reasons: tuple[str, ...], expected: bool
) -> None:
    """Whichever of the choices it is, and whatever the verdict says."""
    choices = [
        {"index": index, "message": {"role": "assistant", "content": "Paris"}, "finish_reason": reason}
        for index, reason in enumerate(reasons)
    ]
    body = orjson.dumps({"choices": choices, "usage": {"prompt_tokens": 3, "completion_tokens": 90}})
    for expectation in ("exact:Paris", "exact:Rome"):
        spec = verifier.specify(
            api=CHAT, request_body=request(max_tokens=9, n=len(reasons)), expectation=expectation
        )
        checked = verifier.verify(CarriedPlan(api=CHAT, spec=spec.text), answer("", body=body))

        assert expected == checked.was_cut
