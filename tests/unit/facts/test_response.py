from __future__ import annotations

import json
from typing import Any

import pytest

from extproc.facts.answer import AnswerError, Usage
from extproc.facts.request import Api
from extproc.facts.response import parse_response


def parse(body: object, api: Api = Api.CHAT_COMPLETIONS, content_type: str = "application/json") -> Any:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return parse_response(api, 200, content_type, text)


def test_model_usage_and_size_are_read() -> None:
    """What every OpenAI answer carries is found at the top."""
    body = {"model": "m", "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 4}}

    facts = parse(body)

    assert ("m", Usage(3, 4), len(json.dumps(body))) == (facts.model, facts.usage, facts.body_bytes)


def test_usage_of_the_other_apis_has_other_names() -> None:
    """The messages and responses APIs say input and output."""
    body = {"output": [], "usage": {"input_tokens": 5, "output_tokens": 6}}

    assert Usage(5, 6) == parse(body, Api.RESPONSES).usage


@pytest.mark.parametrize("count", [-1, 1.5, "3", None, True, 2**31, 10**400])
def test_a_count_that_is_none_is_unknown(count: object) -> None:
    """A figure of a wrong type, or one that no context holds, is None and never zero."""
    assert Usage(None, None) == parse({"choices": [], "usage": {"prompt_tokens": count}}).usage


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"error": {"message": "a", "type": "b", "code": 404}}, AnswerError("a", "b", "404")),
        ({"error": {"message": "a", "code": "c"}}, AnswerError("a", None, "c")),
        ({"error": "a"}, AnswerError("a")),
        ({"object": "error", "message": "a", "type": "b"}, AnswerError("a", "b")),
    ],
)
def test_an_error_is_read_in_any_of_its_shapes(body: object, error: AnswerError) -> None:
    """OpenAI nests the error, some versions of vLLM make it the document, some servers write a text."""
    assert error == parse(body).error


def test_an_answer_without_an_error_has_none() -> None:
    """A null error, as the responses API always writes, is no error."""
    assert parse({"output": [], "error": None}, Api.RESPONSES).error is None


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000])
def test_what_is_no_json_object_is_unreadable(body: bytes) -> None:
    """A truncated or foreign body is a fact about the answer and raises nothing."""
    facts = parse(body)

    assert (True, False, ()) == (facts.is_json, facts.is_readable, facts.choices)


def test_a_body_of_another_type_is_not_looked_into() -> None:
    """A stream of events is no plain answer, whatever it holds."""
    facts = parse({"choices": []}, content_type="text/event-stream")

    assert (False, False) == (facts.is_json, facts.is_readable)


@pytest.mark.parametrize(
    "kind", ["application/json; charset=utf-8", "APPLICATION/JSON", "application/problem+json"]
)
def test_json_is_known_under_its_names(kind: str) -> None:
    """Parameters, case and structured suffixes do not hide JSON."""
    assert parse({"choices": []}, content_type=kind).is_json


def test_vectors_that_hold_something_are_counted() -> None:
    """Arrays and base64 texts count as vectors; empty and absent ones do not."""
    body = {"data": [{"embedding": [0.1]}, {"embedding": "AAAA"}, {"embedding": []}, {}, 1]}

    facts = parse(body, Api.EMBEDDINGS)

    assert (True, 2) == (facts.is_readable, facts.embeddings)


@pytest.mark.parametrize("api", list(Api))
def test_a_document_without_answers_is_unreadable_in_every_api(api: Api) -> None:
    """An object that is no answer of the API is not taken for an empty one."""
    assert not parse({"id": "x"}, api).is_readable
