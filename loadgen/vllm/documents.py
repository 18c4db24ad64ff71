"""Whole answers, API by API: one JSON document each, with vLLM's fields."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from loadgen.vllm.asked import Api, Asked
from loadgen.vllm.plan import Choice

EMBEDDING_DIMENSIONS = 16


def usage_of(choices: Sequence[Choice], choices_per_prompt: int, produced: Sequence[int]) -> dict[str, Any]:
    """OpenAI usage: each prompt once, each choice's tokens."""
    prompt = sum(choice.prompt_tokens for choice in choices[::choices_per_prompt])
    completion = sum(produced)
    return {"prompt_tokens": prompt, "total_tokens": prompt + completion, "completion_tokens": completion}


def document_for(
    asked: Asked, choices: tuple[Choice, ...], *, answer_id: str, created: int, model: str
) -> dict[str, Any]:
    """The whole answer as one JSON document."""
    usage = usage_of(choices, asked.n, [choice.tokens for choice in choices])
    if asked.api is Api.RESPONSES:
        return responses_document(
            choices[0], answer_id=answer_id, created=created, model=model, status="completed"
        )
    if asked.api is Api.MESSAGES:
        return {
            "id": answer_id, "type": "message", "role": "assistant", "model": model,
            "content": [{"type": "text", "text": choices[0].text()}],
            "stop_reason": stop_reason(choices[0]), "stop_sequence": None,
            "usage": {"input_tokens": usage["prompt_tokens"], "output_tokens": usage["completion_tokens"]},
        }  # fmt: skip
    if asked.api is Api.EMBEDDINGS:
        data = [
            {"index": index, "object": "embedding", "embedding": _embedding(choice)}
            for index, choice in enumerate(choices)
        ]
        tokens = usage["prompt_tokens"]
        usage = {"prompt_tokens": tokens, "total_tokens": tokens, "completion_tokens": 0}
        return {
            "id": answer_id,
            "object": "list",
            "created": created,
            "model": model,
            "data": data,
            "usage": usage,
        }
    is_chat = asked.api is Api.CHAT
    return {
        "id": answer_id,
        "object": "chat.completion" if is_chat else "text_completion",
        "created": created,
        "model": model,
        "choices": [_whole_choice(index, choice, is_chat=is_chat) for index, choice in enumerate(choices)],
        "usage": usage,
    }


def _whole_choice(index: int, choice: Choice, *, is_chat: bool) -> dict[str, Any]:
    ending = {"logprobs": None, "finish_reason": choice.finish_reason, "stop_reason": None}
    if not is_chat:
        return {"index": index, "text": choice.text(), **ending}
    message: dict[str, Any] = {
        "role": "assistant",
        "content": choice.text(),
        "refusal": None,
        "tool_calls": [],
    }
    return {"index": index, "message": message, **ending}


def _embedding(choice: Choice) -> list[float]:
    length = EMBEDDING_DIMENSIONS
    return [((choice.offset + 1) * (step * choice.stride + 1) % 199) / 199 - 0.5 for step in range(length)]


def stop_reason(choice: Choice) -> str:
    """Anthropic's word for the finish reason."""
    return "max_tokens" if choice.finish_reason == "length" else "end_turn"


def responses_document(
    choice: Choice, *, answer_id: str, created: int, model: str, status: str
) -> dict[str, Any]:
    """A `/v1/responses` object; output and usage are there when it is completed."""
    document: dict[str, Any] = {
        "id": answer_id, "object": "response", "created_at": created, "model": model, "status": status,
        "incomplete_details": None, "output": [], "parallel_tool_calls": True, "tools": [], "usage": None,
    }  # fmt: skip
    if status != "completed":
        return document
    if choice.finish_reason == "length":
        document |= {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
    text: dict[str, Any] = {"type": "output_text", "text": choice.text(), "annotations": [], "logprobs": None}
    item_id = answer_id.replace("resp_", "msg_")
    document["output"] = [
        {
            "id": item_id,
            "type": "message",
            "role": "assistant",
            "status": document["status"],
            "content": [text],
        }
    ]
    document["usage"] = {
        "input_tokens": choice.prompt_tokens,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": choice.tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": choice.prompt_tokens + choice.tokens,
    }
    return document
