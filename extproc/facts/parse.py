"""From a request's line, type and body to `RequestFacts`.

A body is refused here only where vLLM would refuse it too, or where routing cannot do without the field at
fault; what only vLLM can judge is routed untouched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Final

from extproc.errors import BodyTooLargeError, ModelNotFoundError
from extproc.facts.chat import read_chat
from extproc.facts.completions import read_completions
from extproc.facts.demands import demands_form, demands_logprobs, repeats_itself
from extproc.facts.embeddings import read_embeddings
from extproc.facts.fields import invalid_field, missing_field, read_flag
from extproc.facts.grams import hash_grams
from extproc.facts.json_body import JsonObject, read_object
from extproc.facts.messages import read_messages
from extproc.facts.prompt import Reading
from extproc.facts.request import Api, RequestFacts
from extproc.facts.responses import read_responses
from extproc.facts.text import TextProfile, profile_text
from extproc.facts.wish import Wish

MAX_MODEL_CHARACTERS: Final = 512
"""Longest model name that is looked up; it goes into headers, traces and error messages."""

_READERS: Final[Mapping[str, tuple[Api, Callable[[JsonObject], Reading]]]] = MappingProxyType(
    {
        "/v1/chat/completions": (Api.CHAT_COMPLETIONS, read_chat),
        "/v1/completions": (Api.COMPLETIONS, read_completions),
        "/v1/embeddings": (Api.EMBEDDINGS, read_embeddings),
        "/v1/responses": (Api.RESPONSES, read_responses),
        "/v1/messages": (Api.MESSAGES, read_messages),
    }
)


def parse_request(
    *,
    method: str,
    path: str,
    content_type: str,
    body: bytes,
    request_id: str,
    subset: frozenset[str] | None,
    max_body_bytes: int,
    expectation: str = "",
    session: str = "",
    deadline_seconds: float | None = None,
    wish: Wish | None = None,
    profile: Callable[[Iterable[str]], TextProfile] = profile_text,
    wants_words: Callable[[], bool] = bool,
) -> RequestFacts:
    """Understand a request.

    Another path or method, an empty body, or a body that is not declared to be JSON makes `Api.OTHER`:
    vLLM answers those itself, whatever they hold. The path may carry a query and a trailing slash.
    `expectation`, `session`, `deadline_seconds` and `wish` come from the client's headers; each as in `RequestFacts`. Words are
    hashed only when `wants_words` says so at that moment: it costs about 40 µs, whatever the size of the prompt.

    Raises:
        BodyTooLargeError: The body exceeds `max_body_bytes`, or holds too many arrays and objects.
        BadRequestError: The body cannot be understood; the message says what is wrong, where, and what was
            expected.
        ModelNotFoundError: The model's name is longer than any configured one may be.
    """
    if len(body) > max_body_bytes:
        raise BodyTooLargeError(
            f"The request body has {len(body)} bytes, expected at most {max_body_bytes}.",
            reason="body-too-large",
        )
    known = _READERS.get(path) or _READERS.get(path.partition("?")[0].rstrip("/"))
    if known is None or method != "POST" or not body or not _is_json(content_type):
        return RequestFacts(api=Api.OTHER, body_bytes=len(body), request_id=request_id, subset=subset)
    api, read = known
    fields = read_object(body)
    model = _read_model(fields)
    reading = read(fields)
    stream = api is not Api.EMBEDDINGS and read_flag(fields, "stream")
    return RequestFacts(
        api=api,
        model=model,
        stream=stream,
        wants_stream_usage=stream and reading.wants_stream_usage,
        max_output_tokens=reading.max_output_tokens,
        choices=reading.choices,
        text=profile(reading.prompt.parts),
        grams=hash_grams(reading.prompt.parts) if wants_words() else b"",
        has_unseen_text=reading.has_unseen_text,
        prompt_token_ids=reading.prompt.token_ids,
        longest_share=reading.prompt.longest_share,
        messages=reading.prompt.messages,
        images=reading.prompt.images,
        tools=reading.prompt.tools,
        body_bytes=len(body),
        request_id=request_id,
        has_contract=reading.prompt.tools > 0 or demands_form(api, fields),
        has_logprobs=demands_logprobs(fields),
        expectation=expectation,
        session=session,
        deadline_seconds=deadline_seconds,
        wish=wish,
        is_deterministic=repeats_itself(fields),
        subset=subset,
    )


def _is_json(content_type: str) -> bool:
    """Tell whether vLLM would read the body: it takes `application/json`, with parameters or without."""
    return (
        content_type == "application/json"
        or content_type.partition(";")[0].strip().lower() == "application/json"
    )


def _read_model(body: JsonObject) -> str:
    model = body.get("model")
    if model is None:
        raise missing_field("model", "a string, the name of a model")
    if type(model) is not str:
        raise invalid_field("model", "a string, the name of a model", model)
    if not model:
        raise invalid_field("model", "the name of a model", model)
    if len(model) > MAX_MODEL_CHARACTERS:
        raise ModelNotFoundError(
            f"The model `{model[:40]}…` does not exist: its name has {len(model)} characters, "
            f"expected at most {MAX_MODEL_CHARACTERS}.",
            reason="model-not-found",
            param="model",
        )
    try:
        model.encode()
    except UnicodeEncodeError:
        raise invalid_field("model", "Unicode text without lone surrogates", model) from None
    return model
