from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from extproc.errors import BadRequestError, BodyTooLargeError, ModelNotFoundError
from extproc.facts.grams import hash_grams
from extproc.facts.parse import MAX_MODEL_CHARACTERS
from extproc.facts.request import Api, RequestFacts
from extproc.facts.wish import Wish

Parse = Callable[..., RequestFacts]
Chat = Callable[..., dict[str, Any]]


@pytest.mark.parametrize(
    ("path", "body", "api"),
    [
        ("/v1/chat/completions", {"messages": [{"role": "user"}]}, Api.CHAT_COMPLETIONS),
        ("/v1/completions", {"prompt": "hi"}, Api.COMPLETIONS),
        ("/v1/embeddings", {"input": "hi"}, Api.EMBEDDINGS),
        ("/v1/responses", {"input": "hi"}, Api.RESPONSES),
        ("/v1/messages", {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 5}, Api.MESSAGES),
    ],
)
@pytest.mark.parametrize("suffix", ["", "/", "?beta=true", "/?beta=true"])
def test_each_api_is_known_by_its_path(
    parse: Parse, path: str, suffix: str, body: dict[str, Any], api: Api
) -> None:
    """The path names the API, with or without a query and a trailing slash."""
    assert api is parse({"model": "a", **body}, path + suffix).api


@pytest.mark.parametrize(
    "changes",
    [
        {"path": "/v1/models"},
        {"path": "/openai/v1/chat/completions"},
        {"path": "/v1/chat/completions/render"},
        {"path": "/v1/messages/count_tokens"},
        {"path": "/V1/chat/completions"},
        {"path": ""},
        {"path": "?"},
        {"method": "GET"},
        {"method": "post"},
        {"body": b""},
        {"content_type": "multipart/form-data; boundary=x"},
        {"content_type": "application/x-www-form-urlencoded"},
        {"content_type": "application/jsonl"},
        {"content_type": ""},
    ],
)
def test_what_vllm_answers_itself_passes_through(parse: Parse, changes: dict[str, Any]) -> None:
    """Other paths, methods, types and empty bodies are routed whatever the body holds."""
    subset = frozenset({"10.0.0.1:80"})

    facts = parse(**{"body": b"\xff{", "subset": subset, **changes})

    size = len(changes.get("body", b"\xff{"))
    assert RequestFacts(api=Api.OTHER, body_bytes=size, request_id="request-1", subset=subset) == facts


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=utf-8", "Application/JSON", "application/json ;x"]
)
def test_json_is_known_by_its_media_type(parse: Parse, chat: Chat, content_type: str) -> None:
    """Case and parameters of the content type do not matter."""
    assert Api.CHAT_COMPLETIONS is parse(chat(), content_type=content_type).api


def test_what_is_not_in_the_body_is_handed_on(parse: Parse, chat: Chat) -> None:
    """Request id, subset and size of the body stand in the facts."""
    subset = frozenset({"10.0.0.1:80"})

    facts = parse(b'{"model":"a","messages":[{"role":"user"}]}', subset=subset)

    assert ("request-1", subset, 42, "a") == (facts.request_id, facts.subset, facts.body_bytes, facts.model)


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/audio/transcriptions"])
def test_a_body_over_the_limit_is_refused(parse: Parse, path: str) -> None:
    """One byte more than the limit is 413 on every path; the limit itself is not."""
    with pytest.raises(BodyTooLargeError, match="has 11 bytes, expected at most 10") as caught:
        parse(b"x" * 11, path, max_body_bytes=10)
    assert ("body-too-large", 413) == (caught.value.reason, caught.value.http_status)
    assert Api.OTHER is parse(b"x" * 10, "/v1/audio/transcriptions", max_body_bytes=10).api


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (..., "missing-field"),
        (None, "missing-field"),
        (5, "invalid-field"),
        ("", "invalid-field"),
        ("\ud800", "invalid-field"),
    ],
)
def test_a_model_is_required(parse: Parse, chat: Chat, model: object, reason: str) -> None:
    """Without a model that can be looked up, the request is a 400 that names the field."""
    with pytest.raises(BadRequestError, match="`model`") as caught:
        parse(chat(model=model))
    assert (reason, "model") == (caught.value.reason, caught.value.param)


def test_an_endless_model_name_does_not_exist(parse: Parse, chat: Chat) -> None:
    """A name longer than any configured one is a 404 whose message stays short."""
    assert MAX_MODEL_CHARACTERS == len(parse(chat(model="m" * MAX_MODEL_CHARACTERS)).model or "")
    with pytest.raises(ModelNotFoundError) as caught:
        parse(chat(model="m" * 100_000))
    assert len(caught.value.message) < 200


@pytest.mark.parametrize(
    ("stream", "expected"),
    [(..., False), (None, False), (False, False), (True, True), (1, True), ("yes", True)],
)
def test_stream_is_read_as_vllm_reads_it(parse: Parse, chat: Chat, stream: object, expected: bool) -> None:
    """Absent and null mean no stream, and words that pydantic takes for booleans are taken."""
    assert expected is parse(chat(stream=stream)).stream


@pytest.mark.parametrize("stream", ["maybe", 2, [], {}])
def test_a_stream_flag_that_is_none_is_refused(parse: Parse, chat: Chat, stream: object) -> None:
    """A `stream` that is no boolean is a 400 that names the field."""
    with pytest.raises(BadRequestError, match="`stream` must be a boolean, got") as caught:
        parse(chat(stream=stream))
    assert "stream" == caught.value.param


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        ("/v1/chat/completions", {"messages": [{"role": "user"}]}, False),
        (
            "/v1/chat/completions",
            {"messages": [{"role": "user"}], "stream_options": {"include_usage": True}},
            True,
        ),
        ("/v1/completions", {"prompt": "x", "stream_options": {"include_usage": True}}, True),
        ("/v1/responses", {"input": "x"}, True),
        ("/v1/messages", {"messages": [{"role": "user", "content": ""}], "max_tokens": 1}, True),
    ],
)
def test_usage_of_a_stream(parse: Parse, path: str, body: dict[str, Any], expected: bool) -> None:
    """OpenAI's older APIs stream usage when asked, the others always; without a stream there is none."""
    assert expected is parse({"model": "a", "stream": True, **body}, path).wants_stream_usage
    assert False is parse({"model": "a", **body}, path).wants_stream_usage


def test_the_last_duplicate_counts(parse: Parse) -> None:
    """Duplicate keys are read as Python's `json` and therefore vLLM reads them."""
    facts = parse(b'{"model":"a","messages":5,"model":"b","messages":[{"role":"user"}]}')

    assert "b" == facts.model


def test_unknown_fields_are_left_to_vllm(parse: Parse, chat: Chat) -> None:
    """Fields that routing does not need may hold anything."""
    facts = parse(chat(user=5, seed="x", guided_json=[], response_format="?", nested={"model": "b"}))

    assert "a" == facts.model


def test_what_the_answer_must_be_is_read(parse: Callable[..., RequestFacts], chat: Any) -> None:
    """From the body: contract, log-probabilities, repeatability; from the headers: the client's own wishes."""
    body = chat(response_format={"type": "json_object"}, logprobs=True, temperature=0)
    facts = parse(body, expectation="exact:x", session="s", deadline_seconds=2.5, wish=Wish(preset="cost"))

    assert (True, True, True) == (facts.has_contract, facts.has_logprobs, facts.is_deterministic)
    assert ("exact:x", "s", 2.5) == (facts.expectation, facts.session, facts.deadline_seconds)
    assert Wish(preset="cost") == facts.wish
    assert parse(chat(tools=[{"type": "function", "function": {"name": "f"}}])).has_contract
    plain = parse(chat())
    assert (False, False, False) == (plain.has_contract, plain.has_logprobs, plain.is_deterministic)


def test_words_are_hashed_when_they_are_wanted(parse: Parse, chat: Chat) -> None:
    """The answer may change from request to request; the texts of all messages count."""
    wishes = iter([False, True])
    body = chat(messages=[{"role": "user", "content": text} for text in ("the river", "a lemma")])
    unread, read = (parse(body, wants_words=lambda: next(wishes)) for _ in range(2))

    assert b"" == unread.grams
    assert hash_grams(["the river", "a lemma"]) == read.grams
    assert replace(read, grams=b"") == unread
