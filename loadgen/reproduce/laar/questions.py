"""The study's questions: the value of a key in a long JSON object of UUIDs, asked in three languages (after SCBench's KV lookup).

Outcomes are drawn once per question and model, for at temperature 0 a model repeats itself. A Gaussian copula makes the
models' failures hang together: with difficulty e of the question and u of the model's own, both standard normal, model m is
right when sqrt(r)·e + sqrt(1 - r)·u is below the quantile of its accuracy, which is then met exactly. r = a²/(a² + π²/3) is the
correlation that a logistic model of slope a implies (`docs/estimators.md` finds a = 2.2 over its fleets).
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from extproc.estimate.quality.priors import SLOPE
from loadgen.questions.question import Question
from loadgen.reproduce.laar.accuracy import Cell, Language
from loadgen.reproduce.laar.hardware import MODELS, OUTPUT_TOKENS

COUPLED = SLOPE**2 / (SLOPE**2 + math.pi**2 / 3.0)
"""Correlation of two models' difficulties with one question."""

INDEPENDENT = 0.0

TOKENS_PER_PAIR = 46
"""Tokens of a key, its value, and the marks around them; 82 characters, for hexadecimal digits come at two to a token."""

OUTPUT_SPREAD = 4
"""Answers have `OUTPUT_TOKENS`, this many more or fewer."""

_WORDING: Mapping[Language, tuple[str, str, str]] = {
    Language.ENGLISH: (
        "The JSON object below maps keys to values. Give the value of the key named at the end, and nothing else.",
        "JSON data: ",
        "What is the value of this key? Key: ",
    ),
    Language.JAPANESE: (
        "次のJSONオブジェクトはキーと値の組からなります。最後に示すキーの値だけを答えてください。",
        "JSONデータ: ",
        "このキーに対応する値は何ですか。キー: ",
    ),
    Language.CHINESE: (
        "下面的JSON对象由键和值组成。请只回答最后给出的键所对应的值。",
        "JSON数据: ",
        "这个键对应的值是什么?键: ",
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CellQuestions:
    """Questions of one cell.

    Attributes:
        fit: What estimators may learn from.
        held_out: What runs are judged on, in the order in which they are asked.
    """

    fit: tuple[Question, ...]
    held_out: tuple[Question, ...]


def draw_questions(
    table: Mapping[Cell, Mapping[str, float]], *, seed: int, count: int, correlation: float
) -> Mapping[Cell, CellQuestions]:
    """Draw the questions of every cell.

    Args:
        table: P(correct) by cell and model.
        seed: Same seed, same questions.
        count: Questions to fit on, and as many to judge by, in every cell.
        correlation: Of the models' difficulties, 0 to 1 (see above).
    """
    rng = np.random.default_rng(seed)
    drawn: dict[Cell, CellQuestions] = {}
    for cell, chances in table.items():
        prompts = _Prompts(cell, rng)
        questions = [
            _draw(f"{seed}-{cell.name}-{number}", prompts, chances, correlation, rng)
            for number in range(2 * count)
        ]
        drawn[cell] = CellQuestions(fit=tuple(questions[:count]), held_out=tuple(questions[count:]))
    return drawn


def _draw(
    key: str, prompts: _Prompts, chances: Mapping[str, float], correlation: float, rng: np.random.Generator
) -> Question:
    difficulty = rng.standard_normal()
    own = rng.standard_normal(len(MODELS))
    mixed = math.sqrt(correlation) * difficulty + math.sqrt(1.0 - correlation) * own
    lengths = rng.integers(OUTPUT_TOKENS - OUTPUT_SPREAD, OUTPUT_TOKENS + OUTPUT_SPREAD + 1, len(MODELS))
    return Question(
        key=key,
        kind="kv",
        text=prompts.ask(rng),
        prompt_tokens=prompts.cell.length,
        correct={
            model: bool(value < NormalDist().inv_cdf(chances[model]))
            for model, value in zip(MODELS, mixed, strict=True)
        },
        output_tokens={model: int(tokens) for model, tokens in zip(MODELS, lengths, strict=True)},
    )


class _Prompts:
    """Prompts of one cell: they share the object, whose size is what matters, and differ in the key."""

    def __init__(self, cell: Cell, rng: np.random.Generator) -> None:
        self.cell = cell
        head, data, self._tail = _WORDING[cell.language]
        self._keys = [_uuid(rng) for _ in range(cell.length // TOKENS_PER_PAIR)]
        pairs = ", ".join(f'"{key}": "{_uuid(rng)}"' for key in self._keys)
        self._body = f"{head}\n\n{data}{{{pairs}}}"

    def ask(self, rng: np.random.Generator) -> str:
        """A prompt for one of the keys."""
        return f"{self._body}\n\n{self._tail}{self._keys[rng.integers(len(self._keys))]}"


def _uuid(rng: np.random.Generator) -> str:
    return str(uuid.UUID(bytes=rng.bytes(16), version=4))


def without_text(questions: Sequence[Question]) -> tuple[Question, ...]:
    """The same questions, small enough to travel between processes."""
    return tuple(
        Question(
            key=question.key,
            kind=question.kind,
            text="",
            prompt_tokens=question.prompt_tokens,
            correct=question.correct,
            output_tokens=question.output_tokens,
        )
        for question in questions
    )
