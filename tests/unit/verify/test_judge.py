from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.facts.answer import Choice, ResponseFacts, ToolCall
from extproc.verify.finding import Outcome
from extproc.verify.judge import judge_request, judge_verdict
from extproc.verify.policy import JudgeKind, JudgeSpec

_OPENAI = JudgeSpec(kind=JudgeKind.OPENAI, url="http://judge/v1/chat/completions", model="j")
_HTTP = JudgeSpec(
    kind=JudgeKind.HTTP, url="http://judge/", headers=(("authorization", "secret"),), timeout_seconds=2.0
)
_REQUEST: dict[str, object] = {"messages": [{"role": "user", "content": "2+2?"}]}

Answer = Callable[..., ResponseFacts]


def _reply(content: object) -> bytes:
    return json.dumps({"choices": [{"message": {"content": content}}]}).encode()


def test_a_chat_judge_sees_request_and_answer_as_data(answer: Answer) -> None:
    """Both stand in one JSON object of the user message, apart from the instructions."""
    call = judge_request(_OPENAI, _REQUEST, answer("4"))
    body = json.loads(call.body)

    assert ("j", 0) == (body["model"], body["temperature"])
    assert ["system", "user"] == [message["role"] for message in body["messages"]]
    material = json.loads(body["messages"][1]["content"])
    assert _REQUEST == json.loads(material["request"])
    assert [{"text": "4"}] == material["answers"]


def test_a_plain_judge_gets_the_material_itself(answer: Answer) -> None:
    """With the operator's headers and timeout, and with the calls of an answer."""
    choice = Choice(text=None, tool_calls=(ToolCall("f", "{}"),))
    call = judge_request(_HTTP, _REQUEST, answer(choice))

    assert ("http://judge/", 2.0) == (call.url, call.timeout_seconds)
    assert (("content-type", "application/json"), ("authorization", "secret")) == call.headers
    body = json.loads(call.body)
    assert {"api", "request", "answers"} == body.keys()
    assert {"calls": [{"name": "f", "arguments": "{}"}]} == json.loads(body["answers"][0]["tool_calls"])


def test_credentials_are_not_shown(answer: Answer) -> None:
    """Neither the settings nor the call write them into a log."""
    assert "secret" not in repr(_HTTP) + repr(judge_request(_HTTP, _REQUEST, answer("4")))


def test_material_is_bounded(answer: Answer) -> None:
    """A long question and many long answers keep their ends and their bound."""
    request: dict[str, object] = {"messages": [{"role": "user", "content": "x" * 10**6 + " the end"}]}
    spec = JudgeSpec(kind=JudgeKind.HTTP, url="http://judge/", max_chars=1_000)

    call = judge_request(spec, request, answer(*["y" * 10**5] * 4))

    assert len(call.body) < 3_000
    assert b"the end" in call.body


def test_what_has_no_utf_8_is_sent_all_the_same(answer: Answer) -> None:
    """Lone surrogates and depth do not raise."""
    deep: object = 0
    for _ in range(900):
        deep = [deep]

    assert judge_request(_HTTP, {"a": "\ud800", "b": deep}, answer(Choice(text="\udfff"))).body


@pytest.mark.parametrize(
    ("content", "outcome", "detail"),
    [
        ('{"correct": true}', Outcome.PASSED, ""),
        ('Sure:\n```json\n{"correct": false, "reason": "it is 5"}\n```', Outcome.REJECTED, "it is 5"),
        ("yes", Outcome.UNDECIDED, "the reply holds no verdict"),
        ('{"correct": "true"}', Outcome.UNDECIDED, "the reply holds no verdict"),
        (None, Outcome.UNDECIDED, "the reply holds no verdict"),
    ],
)
def test_a_chat_judge_s_word(content: object, outcome: Outcome, detail: str) -> None:
    """A boolean decides; anything else leaves the answer as it is."""
    finding = judge_verdict(JudgeKind.OPENAI, 200, _reply(content))

    assert (outcome, detail) == (finding.outcome, finding.detail)


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        (b'{"correct": true}', Outcome.PASSED),
        (b'{"correct": false}', Outcome.REJECTED),
        (b"[]", Outcome.UNDECIDED),
        (b"{" * 100_000 + b"}" * 100_000, Outcome.UNDECIDED),
    ],
)
def test_a_plain_judge_s_word(body: bytes, outcome: Outcome) -> None:
    """The object itself is the verdict."""
    assert outcome is judge_verdict(JudgeKind.HTTP, 200, body).outcome


@pytest.mark.parametrize("status", [None, 500, 404, 301])
def test_a_judge_that_is_not_there_decides_nothing(status: int | None) -> None:
    """Whatever its body says."""
    finding = judge_verdict(JudgeKind.HTTP, status, b'{"correct": false}')

    assert (Outcome.UNDECIDED, "judge.unreachable") == (finding.outcome, finding.reason)


@given(kind=st.sampled_from(JudgeKind), status=st.none() | st.integers(), body=st.binary(max_size=60))
def test_no_reply_raises(kind: JudgeKind, status: int | None, body: bytes) -> None:
    """A judge is a stranger too."""
    assert "judge" == judge_verdict(kind, status, body).check


@given(st.dictionaries(st.sampled_from(["choices", "message", "content", "correct", "reason"]), st.from_type(type(None)) | st.lists(st.integers()) | st.text(), max_size=4))  # fmt: skip
def test_no_shape_of_a_reply_raises(document: dict[str, Any]) -> None:
    """Known names with foreign values are no verdict."""
    assert Outcome.UNDECIDED is judge_verdict(JudgeKind.OPENAI, 200, json.dumps(document).encode()).outcome
