"""What is sent for a question, and what a correct answer to it is."""

from __future__ import annotations

from typing import Any

import orjson

from loadgen.questions.question import Question
from loadgen.vllm.asked import SIMULATION_FIELD

PATH = "/v1/chat/completions"

NUMBER_HEADER = "x-study-number"
"""Carries a request's number through Envoy to the simulated servers' journals."""


def right_answer(question: Question) -> str:
    """The text of every correct answer."""
    return f"yes-{question.key}"


def wrong_answer(question: Question) -> str:
    """The text of every wrong answer."""
    return f"no-{question.key}"


def request_body(question: Question, *, model: str, repeats_itself: bool) -> bytes:
    """A plain chat request.

    Args:
        question: Asked; how each model answers it travels along for the simulated servers.
        model: A model or an alias.
        repeats_itself: True to ask at temperature 0.
    """
    document: dict[str, Any] = {
        "model": model,
        "messages": [{"role": "user", "content": question.text}],
        SIMULATION_FIELD: {
            "output_tokens": dict(question.output_tokens),
            "answers": {
                name: right_answer(question) if is_correct else wrong_answer(question)
                for name, is_correct in question.correct.items()
            },
        },
    }
    if repeats_itself:
        document["temperature"] = 0
    return orjson.dumps(document)
