"""A question and what each model of a fleet made of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

HELD_OUT_SHARE = 0.4
"""Share of the questions that estimators do not see."""

BYTES_PER_TOKEN = 4.2
"""Bytes of an English answer per token: answers were recorded in bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One question.

    Attributes:
        key: Hash of its text; equal keys mean the same question.
        kind: What it is about: the benchmark, or its category within one.
        text: As asked, without templates; invented for a generated question.
        prompt_tokens: Tokens of the prompt, template included; at least 1.
        correct: By model, whether its answer was right. Answers are deterministic: asking again changes nothing.
        output_tokens: By model, tokens of its answer; at least 1.
    """

    key: str
    kind: str
    text: str
    prompt_tokens: int
    correct: Mapping[str, bool]
    output_tokens: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionSet:
    """Questions that every model of a fleet answered, in two parts without a common question.

    Attributes:
        name: Name of the set.
        models: The fleet's models, smallest first.
        training: What estimators may learn from.
        held_out: What runs are judged on.
        is_recorded: False when the questions were generated.
    """

    name: str
    models: tuple[str, ...]
    training: tuple[Question, ...]
    held_out: tuple[Question, ...]
    is_recorded: bool


def split(
    name: str, models: Sequence[str], questions: Sequence[Question], *, seed: int, is_recorded: bool
) -> QuestionSet:
    """Divide questions by their key, so that a question asked twice falls on one side.

    Args:
        name: Name of the set.
        models: The fleet's models, smallest first.
        questions: In any order; their order is kept within each part.
        seed: Another seed, another division.
        is_recorded: False when the questions were generated.
    """
    held_out = {question.key for question in questions if _position(question.key, seed) < HELD_OUT_SHARE}
    return QuestionSet(
        name=name,
        models=tuple(models),
        training=tuple(question for question in questions if question.key not in held_out),
        held_out=tuple(question for question in questions if question.key in held_out),
        is_recorded=is_recorded,
    )


def _position(key: str, seed: int) -> float:
    """Where a key lies between 0 and 1, for a seed."""
    digest = sha256(f"{seed}:{key}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
