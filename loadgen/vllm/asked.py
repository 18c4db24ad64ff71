"""What a request body asks for, read as vLLM reads it: unknown fields are ignored, known ones are checked."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from loadgen.vllm.errors import invalid, unreadable
from loadgen.vllm.tokenizer import count_tokens

TEMPLATE_TOKENS = 3
MESSAGE_TOKENS = 4
"""What a chat template adds per conversation and per message (Llama 3: header and end-of-turn tokens)."""

IMAGE_TOKENS = 576
"""Tokens of one image, as in LLaVA 1.5: a grid of 24 x 24 patches."""

SIMULATION_FIELD = "ttca_sim"
"""Body field that only the simulation reads: `{"output_tokens": 37}` fixes the length of every choice.

`{"output_tokens": {"model-a": 37}, "answers": {"model-a": "42"}}` does it model by model, and says what each answers.
"""


class Api(enum.Enum):
    """The endpoints that run the engine, by path."""

    CHAT = "/v1/chat/completions"
    COMPLETIONS = "/v1/completions"
    EMBEDDINGS = "/v1/embeddings"
    RESPONSES = "/v1/responses"
    MESSAGES = "/v1/messages"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A checked request.

    Attributes:
        prompts: Prompt tokens, one entry per prompt (several only for completions and embeddings).
        n: Choices per prompt.
        max_tokens: Output limit, None when not given.
        max_tokens_param: The field that gave it.
        wanted_tokens: Output length fixed by `ttca_sim`, by model; the key None is for all others. Models without an
            entry have theirs drawn.
        answers: Answer fixed by `ttca_sim`, by model; the words of all others are drawn.
        ignore_eos: Run to the limit.
    """

    api: Api
    model: str | None
    prompts: tuple[int, ...]
    n: int
    max_tokens: int | None
    max_tokens_param: str
    wanted_tokens: Mapping[str | None, int]
    answers: Mapping[str, str]
    ignore_eos: bool
    stream: bool
    include_usage: bool
    continuous_usage: bool


def parse(api: Api, body: bytes) -> Asked:
    """Read a request body.

    Raises:
        ApiError: 400 when the body is not JSON, or a field has the wrong type or range.
    """
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise unreadable("json_invalid", "body", f"JSON decode error: {error}") from error
    if not isinstance(document, dict):
        raise unreadable("model_attributes_type", "body", "Input should be a valid dictionary")
    param, limit = _output_limit(api, document)
    options = document.get("stream_options") or {}
    if not isinstance(options, dict):
        raise unreadable("model_type", "body.stream_options", "Input should be an object")
    stream = _typed(document, "stream", bool, default=False)
    if options and not stream:
        raise invalid("Stream options can only be defined when `stream=True`.", "stream_options")
    return Asked(
        api=api,
        model=_typed(document, "model", str, default=None),
        prompts=_prompts(api, document),
        n=_count(document, "n", default=1) if api in {Api.CHAT, Api.COMPLETIONS} else 1,
        max_tokens=limit,
        max_tokens_param=param,
        wanted_tokens=_wanted(document),
        answers=_answers(document),
        ignore_eos=_typed(document, "ignore_eos", bool, default=False),
        stream=stream and api is not Api.EMBEDDINGS,
        include_usage=bool(options.get("include_usage")),
        continuous_usage=bool(options.get("include_usage")) and bool(options.get("continuous_usage_stats")),
    )


def _output_limit(api: Api, document: dict[str, Any]) -> tuple[str, int | None]:
    param = "max_output_tokens" if api is Api.RESPONSES else "max_tokens"
    if api is Api.CHAT and document.get("max_completion_tokens") is not None:
        param = "max_completion_tokens"
    return param, _count(document, param, default=None)


def _wish(document: dict[str, Any], field: str) -> object:
    wish = document.get(SIMULATION_FIELD)
    return wish.get(field) if isinstance(wish, dict) else None


def _wanted(document: dict[str, Any]) -> dict[str | None, int]:
    wish = _wish(document, "output_tokens")
    by_model = wish if isinstance(wish, dict) else {None: wish}
    return {model: tokens for model, tokens in by_model.items() if type(tokens) is int and tokens > 0}


def _answers(document: dict[str, Any]) -> dict[str, str]:
    wish = _wish(document, "answers")
    if not isinstance(wish, dict):
        return {}
    return {model: answer for model, answer in wish.items() if isinstance(answer, str)}


def _prompts(api: Api, document: dict[str, Any]) -> tuple[int, ...]:
    if api is Api.CHAT:
        return (_conversation(document, "messages") + _tools(document),)
    if api is Api.MESSAGES:
        system = MESSAGE_TOKENS + _content(document["system"]) if document.get("system") else 0
        return (_conversation(document, "messages") + system + _tools(document),)
    if api is Api.RESPONSES:
        return (_responses_input(document) + _tools(document),)
    return _plain_prompts(document, "input" if api is Api.EMBEDDINGS else "prompt")


def _responses_input(document: dict[str, Any]) -> int:
    instructions = _content(document.get("instructions"))
    given = document.get("input")
    if isinstance(given, str):
        return TEMPLATE_TOKENS + MESSAGE_TOKENS + count_tokens(given) + instructions
    return _conversation(document, "input") + instructions


def _conversation(document: dict[str, Any], field: str) -> int:
    messages = document.get(field)
    if messages is None:
        raise unreadable("missing", f"body.{field}", "Field required")
    if not isinstance(messages, list):
        raise unreadable("list_type", f"body.{field}", "Input should be a valid list")
    tokens = TEMPLATE_TOKENS
    for position, message in enumerate(messages):
        if not isinstance(message, dict):
            raise unreadable("dict_type", f"body.{field}.{position}", "Input should be a valid dictionary")
        tokens += MESSAGE_TOKENS + _content(message.get("content"))
        if message.get("tool_calls"):
            tokens += count_tokens(orjson.dumps(message["tool_calls"]).decode())
    return tokens


def _content(content: object) -> int:
    if isinstance(content, str):
        return count_tokens(content)
    if not isinstance(content, list):
        return 0
    tokens = 0
    for part in content:
        if isinstance(part, str):
            tokens += count_tokens(part)
        elif isinstance(part, dict) and isinstance(part.get("text"), str):
            tokens += count_tokens(part["text"])
        elif isinstance(part, dict) and "image" in str(part.get("type")):
            tokens += IMAGE_TOKENS
        elif isinstance(part, dict):
            tokens += _content(part.get("content"))
    return tokens


def _tools(document: dict[str, Any]) -> int:
    tools = document.get("tools")
    return count_tokens(orjson.dumps(tools).decode()) if tools else 0


def _plain_prompts(document: dict[str, Any], field: str) -> tuple[int, ...]:
    given = document.get(field)
    if given is None:
        if field == "input" and document.get("messages"):
            return (_conversation(document, "messages"),)
        raise invalid(f"Either {field} or prompt_embeds must be provided and non-empty.", field)
    if isinstance(given, str):
        return (max(1, count_tokens(given)),)
    if isinstance(given, list) and given:
        if all(type(item) is int for item in given):
            return (len(given),)
        if all(isinstance(item, str) for item in given):
            return tuple(max(1, count_tokens(item)) for item in given)
        if all(
            isinstance(item, list) and item and all(type(token) is int for token in item) for item in given
        ):
            return tuple(len(item) for item in given)
    raise unreadable("string_type", f"body.{field}", "Input should be a valid string")


def _typed(document: dict[str, Any], field: str, kind: type, *, default: Any) -> Any:  # noqa: ANN401 - JSON
    value = document.get(field)
    if value is None:
        return default
    if not isinstance(value, kind):
        raise unreadable(f"{kind.__name__}_type", f"body.{field}", f"Input should be a valid {kind.__name__}")
    return value


def _count(document: dict[str, Any], field: str, *, default: Any) -> Any:  # noqa: ANN401 - JSON
    value = document.get(field)
    if value is None:
        return default
    if type(value) is not int:
        raise unreadable("int_type", f"body.{field}", "Input should be a valid integer")
    if value < 1:
        raise invalid(f"{field} must be at least 1, got {value}.", field, value)
    return value
