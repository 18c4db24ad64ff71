"""Builders of answers and of the means to check them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from extproc.facts.answer import Choice, FinishReason, ResponseFacts
from extproc.facts.request import Api
from extproc.verify.schema import SchemaCache
from extproc.verify.work import WorkBudget


@pytest.fixture
def schemas() -> SchemaCache:
    """An empty cache."""
    return SchemaCache()


@pytest.fixture
def work() -> WorkBudget:
    """The budget of the default policy."""
    return WorkBudget(50_000)


@pytest.fixture
def answer() -> Callable[..., ResponseFacts]:
    """A chat answer of the given choices, 200 and readable; other fields by keyword."""

    def make(*choices: Choice | str, **changes: Any) -> ResponseFacts:
        values: dict[str, Any] = {
            "api": Api.CHAT_COMPLETIONS,
            "status": 200,
            "is_json": True,
            "is_readable": True,
            "choices": tuple(
                Choice(text=choice, finish_reason=FinishReason.STOP) if isinstance(choice, str) else choice
                for choice in choices
            ),
        }
        return ResponseFacts(**{**values, **changes})

    return make


@pytest.fixture
def chat_body() -> Callable[..., bytes]:
    """The bytes of a chat completion with one message; its fields by keyword."""

    def make(finish_reason: str = "stop", **message: Any) -> bytes:
        choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish_reason}
        usage = {"prompt_tokens": 10, "completion_tokens": 20}
        return json.dumps({"model": "m", "choices": [choice], "usage": usage}).encode()

    return make
