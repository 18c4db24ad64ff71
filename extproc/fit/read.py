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
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import orjson

from extproc.calibrate.lessons import parse_lesson
from extproc.estimate.quality.features import PromptFeatures, describe
from extproc.facts.text import Category, TextProfile
from extproc.fit.table import OutcomeTable, describe_prompt

MOST_TOLD: Final = 10
"""Malformed lines that are told of; more of them are counted."""


@dataclass(frozen=True, slots=True)
class _Question:
    prompt: PromptFeatures
    group: str
    outcomes: Mapping[str, float]


def read_table(path: Path) -> OutcomeTable:
    """Read a table of outcomes, or a log.

    Raises:
        ValueError: Lines are malformed, or none counts; the text has the numbers of the first `MOST_TOLD` of them.
        OSError: The file cannot be read.
    """
    questions: dict[str, _Question] = {}
    mistakes: list[str] = []
    lines = [(number, line) for number, line in enumerate(_lines(path), 1) if line.strip()]
    for number, line in lines:
        try:
            found = _question(line, path.name, number)
        except ValueError as error:
            mistakes.append(f"{path.name}, line {number}: {error}")
        else:
            questions.update(found)
    if mistakes:
        raise ValueError(_told(mistakes, f"{len(lines)} lines of {path}"))
    if not questions:
        raise ValueError(f"{path}: no outcome of a first answer in it")
    rows = list(questions.values())
    models = tuple(dict.fromkeys(model for question in rows for model in question.outcomes))
    table = [[question.outcomes.get(model, np.nan) for model in models] for question in rows]
    return OutcomeTable(
        name=path.name,
        models=models,
        prompts=tuple(question.prompt for question in rows),
        groups=tuple(question.group for question in rows),
        keys=tuple(key.partition("\0")[0] for key in questions),
        outcomes=np.array(table, dtype=np.float64).reshape(len(rows), len(models)),
    )


def _question(line: bytes, source: str, number: int) -> dict[str, _Question]:
    """Read a line: its question by a key of its own; nothing when it is an answer that does not count."""
    row = _row(line)
    if "numbers" in row:
        lesson = parse_lesson(row)
        if lesson.after:
            return {}
        # A client may take its verdict back: the last one counts.
        outcomes = {lesson.model: float(lesson.is_correct)}
        return {f"{source}:{lesson.question}": _Question(lesson.features, source, outcomes)}
    question = _Question(_prompt(row), str(row.get("group", source)), _outcomes(row))
    # Rows that share a key stay rows of their own, in one fold.
    return {f"{row.get('key', f'{source}:{number}')}\0{number}": question}


def _told(mistakes: list[str], whole: str) -> str:
    shown = mistakes[:MOST_TOLD]
    if len(mistakes) > MOST_TOLD:
        shown.append(f"… and {len(mistakes) - MOST_TOLD} more")
    counted = "1 cannot be used" if len(mistakes) == 1 else f"{len(mistakes)} cannot be used"
    return "\n".join([*shown, f"Of {whole} {counted}, so nothing was fitted: mend or remove them."])


def _lines(path: Path) -> list[bytes]:
    raw = path.read_bytes()
    try:
        return (gzip.decompress(raw) if path.suffix == ".gz" else raw).splitlines()
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{path}: not a whole gzip file: {error}") from error


def _row(line: bytes) -> Mapping[str, object]:
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error}") from error
    if not isinstance(row, dict):
        raise ValueError(f"expected an object, got {type(row).__name__}")
    return row


def _prompt(row: Mapping[str, object]) -> PromptFeatures:
    text, size = row.get("prompt"), row.get("prompt_bytes")
    if isinstance(text, str):
        return describe_prompt(text)
    if isinstance(size, int) and not isinstance(size, bool) and size >= 0:
        return describe(text=TextProfile(((Category.ENGLISH, size),) if size else ()), grams=b"")
    raise ValueError("expected `prompt`, a string, or `prompt_bytes`, a count")


def _outcomes(row: Mapping[str, object]) -> Mapping[str, float]:
    correct = row.get("correct")
    if not isinstance(correct, dict) or not correct:
        raise ValueError("`correct`: expected an object of outcomes by model")
    outcomes: dict[str, float] = {}
    for model, value in correct.items():
        if not isinstance(value, int | float) or not 0.0 <= value <= 1.0:
            raise ValueError(f"`correct.{model}`: expected a number from 0 to 1, got {value!r:.40}")
        outcomes[model] = float(value)
    return outcomes
