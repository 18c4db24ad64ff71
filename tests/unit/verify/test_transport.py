from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from extproc.facts.answer import AnswerError, Choice, FinishReason, ResponseFacts, ToolCall, Usage
from extproc.facts.request import Api
from extproc.verify.finding import Outcome
from extproc.verify.transport import TransportSpec, check_transport

Answer = Callable[..., ResponseFacts]


def _ended(reason: FinishReason, text: str | None = "a") -> Choice:
    return Choice(text=text, finish_reason=reason, finish_reason_text=reason.value)


def test_a_whole_answer_passes(answer: Answer) -> None:
    """Two hundred, readable, ended by the model, with a text."""
    assert Outcome.PASSED is check_transport(TransportSpec(), answer("hi")).outcome


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"status": 503}, "transport.status"),
        ({"status": 302}, "transport.status"),
        ({"error": AnswerError("out of memory")}, "transport.error"),
        ({"is_readable": False}, "transport.unreadable"),
        ({"choices": ()}, "transport.choices"),
    ],
)
def test_a_failed_answer_is_rejected(answer: Answer, changes: dict[str, Any], reason: str) -> None:
    """Status, error in the body, unreadable body, missing choices."""
    finding = check_transport(TransportSpec(), answer("hi", **changes))

    assert (Outcome.REJECTED, reason) == (finding.outcome, finding.reason)


@pytest.mark.parametrize("changes", [{"is_json": False}, {"api": Api.OTHER}])
def test_what_is_not_looked_into_is_undecided(answer: Answer, changes: dict[str, Any]) -> None:
    """A stream or an unknown API is neither right nor wrong."""
    assert Outcome.UNDECIDED is check_transport(TransportSpec(), answer("hi", **changes)).outcome


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        (FinishReason.ABORT, "transport.abort"),
        (FinishReason.ERROR, "transport.abort"),
        (FinishReason.CONTEXT_FULL, "transport.context-full"),
        (FinishReason.CONTENT_FILTER, "transport.content-filter"),
    ],
)
def test_bad_ends_are_rejected(answer: Answer, reason: FinishReason, expected: str) -> None:
    """An answer that the instance broke off is not the model's."""
    finding = check_transport(TransportSpec(), answer(_ended(reason)))

    assert (Outcome.REJECTED, expected) == (finding.outcome, finding.reason)


@pytest.mark.parametrize(
    ("limit", "tokens", "reason"),
    [
        (None, 500, "transport.context-full"),
        (None, None, "transport.context-full"),
        (1000, 500, "transport.context-full"),
        (1000, 1000, ""),
        (1000, None, ""),
    ],
)
def test_who_cut_an_answer_decides(
    answer: Answer, limit: int | None, tokens: int | None, reason: str
) -> None:
    """Below the client's own limit it was the instance; at the limit, or without figures, the client."""
    response = answer(_ended(FinishReason.LENGTH), usage=Usage(completion_tokens=tokens))

    assert reason == check_transport(TransportSpec(client_limit=limit), response).reason


def test_an_operator_may_call_the_own_limit_a_failure(answer: Answer) -> None:
    """Then a cut answer is wrong whoever cut it."""
    spec = TransportSpec(client_limit=10, own_limit_is_failure=True)
    response = answer(_ended(FinishReason.LENGTH), usage=Usage(completion_tokens=10))

    assert "transport.own-limit" == check_transport(spec, response).reason


@pytest.mark.parametrize(("tokens", "reason"), [(20, ""), (19, "transport.context-full")])
def test_of_several_choices_the_sum_is_known(answer: Answer, tokens: int, reason: str) -> None:
    """Two choices cut at the client's limit have twice its tokens at least."""
    spec = TransportSpec(client_limit=10, choices=3)
    cut = _ended(FinishReason.LENGTH)

    response = answer(cut, "b", cut, usage=Usage(completion_tokens=tokens))

    assert reason == check_transport(spec, response).reason


@pytest.mark.parametrize("text", [None, "", " \n"])
def test_an_empty_answer_is_rejected(answer: Answer, text: str | None) -> None:
    """White space that a model was paid for is still nothing."""
    assert "transport.empty" == check_transport(TransportSpec(), answer(Choice(text=text))).reason


def test_calls_are_an_answer(answer: Answer) -> None:
    """A choice without text that calls a tool is whole."""
    choice = Choice(text=None, finish_reason=FinishReason.TOOL_CALLS, tool_calls=(ToolCall("f", "{}"),))

    assert Outcome.PASSED is check_transport(TransportSpec(), answer(choice)).outcome


def test_nothing_is_what_a_limit_of_nothing_asks_for(answer: Answer) -> None:
    """A completion of zero tokens scores a prompt."""
    response = answer(_ended(FinishReason.LENGTH, ""), usage=Usage(completion_tokens=0))

    assert Outcome.PASSED is check_transport(TransportSpec(client_limit=0), response).outcome


@pytest.mark.parametrize("choice", [Choice(text=None, refusal="No."), _ended(FinishReason.REFUSAL, "No.")])
def test_a_refusal_is_for_the_operator_to_judge(answer: Answer, choice: Choice) -> None:
    """By default it is neither right nor wrong; it may be called wrong."""
    strict = TransportSpec(refusal_is_failure=True)

    assert Outcome.UNDECIDED is check_transport(TransportSpec(), answer(choice)).outcome
    assert Outcome.REJECTED is check_transport(strict, answer(choice)).outcome


def test_a_filtered_answer_may_be_let_pass(answer: Answer) -> None:
    """The operator may keep what a filter left."""
    spec = TransportSpec(content_filter_is_failure=False)

    assert Outcome.UNDECIDED is check_transport(spec, answer(_ended(FinishReason.CONTENT_FILTER))).outcome


@pytest.mark.parametrize(("vectors", "reason"), [(2, ""), (1, "transport.choices")])
def test_vectors_are_counted(answer: Answer, vectors: int, reason: str) -> None:
    """Each input has its vector."""
    response = answer(api=Api.EMBEDDINGS, embeddings=vectors)

    assert reason == check_transport(TransportSpec(choices=2), response).reason
