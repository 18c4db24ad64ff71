"""What judged answers say of the models, kept for the next offline fit: features, model, verdict; never a word of text.

One JSON object per judged answer:

    {"v": 1, "question": "5f0c…", "model": "a", "correct": 0, "after": [], "numbers": [9.1, …], "grams": "…"}

`question` joins the answers to one question, `after` names the models that had failed on it before, `numbers` are those of
`features.NUMBERS`, `grams` the hashed words of `facts.grams`, in base64. Whoever has the list of hashed words can test whether
a guessed word is among them: such a log is as confidential as word counts are.
"""

from __future__ import annotations

import base64
import hashlib
import math
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import orjson

from extproc.estimate.quality.features import NUMBERS, PromptFeatures, describe
from extproc.facts.grams import GRAMS, MOST_GRAMS
from extproc.facts.request import RequestFacts

VERSION: Final = 1
"""Of the lines; another one whenever the numbers or the hash of words change."""

MOST_QUESTIONS: Final = 20_000
"""Questions that wait for a verdict; the oldest are forgotten first. Each takes some 500 bytes, at most 2,500."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """One judged answer.

    Attributes:
        question: Joins the answers to one question.
        model: Who answered.
        is_correct: The verdict.
        after: Models that had failed on the question before.
        features: What was asked.
    """

    question: str
    model: str
    is_correct: bool
    after: tuple[str, ...]
    features: PromptFeatures


@dataclass(slots=True)
class _Question:
    name: str
    features: PromptFeatures
    failed: list[str]


class LessonBook:
    """Remembers what was asked until answers are judged.

    Args:
        max_questions: See `MOST_QUESTIONS`.

    Attributes:
        tell: Given each lesson; nothing is remembered while it is None.
    """

    def __init__(self, *, max_questions: int = MOST_QUESTIONS) -> None:
        self.tell: Callable[[Lesson], None] | None = None
        self._max_questions = max_questions
        self._questions: OrderedDict[str, _Question] = OrderedDict()

    def __len__(self) -> int:
        return len(self._questions)

    def ask(self, decision_id: str, facts: RequestFacts, failed: tuple[str, ...]) -> None:
        """Remember a request and the models that have failed in its session."""
        if self.tell is None:
            return
        name = (
            hashlib.blake2b(facts.session.encode(errors="surrogatepass"), digest_size=8).hexdigest()
            if facts.session
            else decision_id
        )
        features = describe(
            text=facts.text,
            grams=facts.grams,
            messages=facts.messages,
            tools=facts.tools,
            images=facts.images,
        )
        self._questions[decision_id] = _Question(name, features, list(failed))
        if len(self._questions) > self._max_questions:
            self._questions.popitem(last=False)

    def judge(self, decision_id: str, model: str, *, is_correct: bool) -> None:
        """Tell the lesson of a verdict; a model's second failure on one question is none."""
        question = self._questions.get(decision_id)
        if self.tell is None or question is None or model in question.failed:
            return
        self.tell(Lesson(question.name, model, is_correct, tuple(question.failed), question.features))
        if not is_correct:
            question.failed.append(model)

    def failed_before(self, decision_id: str, model: str) -> None:
        """Note what was learned late: that a model had failed on the question before this request came."""
        question = self._questions.get(decision_id)
        if question is not None and model not in question.failed:
            question.failed.append(model)

    def forget(self, decision_id: str) -> None:
        """Forget a request that was never sent."""
        self._questions.pop(decision_id, None)


def lesson_line(lesson: Lesson) -> bytes:
    """The lesson as a line, its end included."""
    return orjson.dumps(
        {
            "v": VERSION,
            "question": lesson.question,
            "model": lesson.model,
            "correct": int(lesson.is_correct),
            "after": lesson.after,
            "numbers": [round(number, 4) for number in lesson.features.numbers],
            "grams": base64.b64encode(lesson.features.grams).decode(),
        },
        option=orjson.OPT_APPEND_NEWLINE,
    )


def parse_lesson(row: Mapping[str, object]) -> Lesson:
    """A lesson from the object of its line.

    Raises:
        ValueError: It is malformed or of another version; the text says what was expected.
    """
    if row.get("v") != VERSION:
        raise ValueError(
            f"`v`: expected {VERSION}, got {row.get('v')!r:.40}; it was logged by another release"
        )
    after, numbers, correct = row.get("after"), row.get("numbers"), row.get("correct")
    if not isinstance(after, list) or not all(isinstance(model, str) for model in after):
        raise ValueError(f"`after`: expected a list of models, got {after!r:.40}")
    if not isinstance(numbers, list) or len(numbers) != len(NUMBERS) or not all(map(_is_finite, numbers)):
        raise ValueError(f"`numbers`: expected {len(NUMBERS)} finite numbers, got {numbers!r:.40}")
    if not isinstance(correct, int) or correct not in {0, 1}:
        raise ValueError(f"`correct`: expected 0 or 1, got {correct!r:.40}")
    return Lesson(
        question=_name(row, "question"),
        model=_name(row, "model"),
        is_correct=bool(correct),
        after=tuple(after),
        features=PromptFeatures(tuple(float(number) for number in numbers), _grams(row.get("grams"))),
    )


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _name(row: Mapping[str, object], key: str) -> str:
    value = row.get(key)
    if isinstance(value, str) and value:
        return value
    raise ValueError(f"`{key}`: expected a name, got {value!r:.40}")


def _grams(value: object) -> bytes:
    complaint = f"`grams`: expected hashed words in base64, got {value!r:.40}"
    try:
        grams = base64.b64decode(value if isinstance(value, str) else "?", validate=True)
        found = np.frombuffer(grams, dtype="<u2")
    except ValueError as error:
        raise ValueError(complaint) from error
    if len(found) > MOST_GRAMS or (found >= GRAMS).any():
        raise ValueError(complaint)
    return grams
