"""Reads an operator's own outcomes: one JSON object per line, plain or gzip, tables and logs of the service mixed.

A row of a table holds a prompt and who was right:

    {"prompt": "What is …?", "correct": {"model-a": 1, "model-b": 0}, "group": "support", "key": "4711"}

`group` and `key` are optional. `prompt_bytes` may stand instead of `prompt` when the text cannot be kept: length is then
all that is learned from.

A line of the service's log (`quality.outcome_log`) is as `calibrate.lessons` describes it. Of these only the first answer to a
question counts: a model that is asked after others have failed is asked hard questions only, and would look worse than it is.
"""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import orjson

from extproc.calibrate.lessons import Lesson, parse_lesson
from extproc.estimate.quality.features import PromptFeatures, describe
from extproc.facts.text import Category, TextProfile
from extproc.fit.table import OutcomeTable, describe_prompt


@dataclass(frozen=True, slots=True)
class _Question:
    prompt: PromptFeatures
    group: str
    outcomes: Mapping[str, float]


def read_table(path: Path) -> OutcomeTable:
    """Read a table of outcomes, or a log.

    Raises:
        ValueError: A line is malformed, or none counts; the text has its number.
        OSError: The file cannot be read.
    """
    questions: dict[str, _Question] = {}
    for number, line in enumerate(_lines(path), 1):
        if not line.strip():
            continue
        where = f"{path.name}, line {number}"
        row = _row(line, where)
        if "numbers" in row:
            lesson = _lesson(row, where)
            if not lesson.after:
                # A client may take its verdict back: the last one counts.
                outcomes = {lesson.model: float(lesson.is_correct)}
                questions[f"{path.name}:{lesson.question}"] = _Question(lesson.features, path.name, outcomes)
            continue
        question = _Question(_prompt(row, where), str(row.get("group", path.name)), _outcomes(row, where))
        # Rows that share a key stay rows of their own, in one fold.
        questions[f"{row.get('key', f'{path.name}:{number}')}\0{number}"] = question
    if not questions:
        raise ValueError(f"{path.name}: no outcome of a first answer in it")
    found = list(questions.values())
    models = tuple(dict.fromkeys(model for question in found for model in question.outcomes))
    table = [[question.outcomes.get(model, np.nan) for model in models] for question in found]
    return OutcomeTable(
        name=path.name,
        models=models,
        prompts=tuple(question.prompt for question in found),
        groups=tuple(question.group for question in found),
        keys=tuple(key.partition("\0")[0] for key in questions),
        outcomes=np.array(table, dtype=np.float64).reshape(len(found), len(models)),
    )


def _lines(path: Path) -> list[bytes]:
    raw = path.read_bytes()
    try:
        return (gzip.decompress(raw) if path.suffix == ".gz" else raw).splitlines()
    except (gzip.BadGzipFile, EOFError) as error:
        raise ValueError(f"{path.name}: {error}") from error


def _lesson(row: Mapping[str, object], where: str) -> Lesson:
    try:
        return parse_lesson(row)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def _row(line: bytes, where: str) -> Mapping[str, object]:
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"{where}: {error}") from error
    if not isinstance(row, dict):
        raise ValueError(f"{where}: expected an object, got {type(row).__name__}")
    return row


def _prompt(row: Mapping[str, object], where: str) -> PromptFeatures:
    text, size = row.get("prompt"), row.get("prompt_bytes")
    if isinstance(text, str):
        return describe_prompt(text)
    if isinstance(size, int) and not isinstance(size, bool) and size >= 0:
        return describe(text=TextProfile(((Category.ENGLISH, size),) if size else ()), grams=b"")
    raise ValueError(f"{where}: expected `prompt`, a string, or `prompt_bytes`, a count")


def _outcomes(row: Mapping[str, object], where: str) -> Mapping[str, float]:
    correct = row.get("correct")
    if not isinstance(correct, dict) or not correct:
        raise ValueError(f"{where}: `correct`: expected an object of outcomes by model")
    outcomes: dict[str, float] = {}
    for model, value in correct.items():
        if not isinstance(value, int | float) or not 0.0 <= value <= 1.0:
            raise ValueError(f"{where}: `correct.{model}`: expected a number from 0 to 1, got {value!r:.40}")
        outcomes[model] = float(value)
    return outcomes
