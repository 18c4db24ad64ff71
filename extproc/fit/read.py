"""Reads an operator's own outcome tables: one JSON object per line, plain or gzip.

    {"prompt": "What is …?", "correct": {"model-a": 1, "model-b": 0}, "group": "support", "key": "4711"}

`group` and `key` are optional. `prompt_bytes` may stand instead of `prompt` when the text cannot be kept: length is then
all that is learned from.
"""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import orjson

from extproc.estimate.quality.features import PromptFeatures, describe
from extproc.facts.text import Category, TextProfile
from extproc.fit.table import OutcomeTable, describe_prompt


def read_table(path: Path) -> OutcomeTable:
    """Read a table of outcomes.

    Raises:
        ValueError: A line is malformed; the text has its number.
        OSError: The file cannot be read.
    """
    prompts: list[PromptFeatures] = []
    groups: list[str] = []
    keys: list[str] = []
    judged: list[Mapping[str, float]] = []
    raw = path.read_bytes()
    try:
        lines = (gzip.decompress(raw) if path.suffix == ".gz" else raw).splitlines()
    except (gzip.BadGzipFile, EOFError) as error:
        raise ValueError(f"{path.name}: {error}") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"{path.name}, line {number}"
        row = _row(line, where)
        prompts.append(_prompt(row, where))
        groups.append(str(row.get("group", path.name)))
        keys.append(str(row.get("key", f"{path.name}:{number}")))
        judged.append(_outcomes(row, where))
    models = tuple(dict.fromkeys(model for outcomes in judged for model in outcomes))
    table = [[outcomes.get(model, np.nan) for model in models] for outcomes in judged]
    return OutcomeTable(
        name=path.name,
        models=models,
        prompts=tuple(prompts),
        groups=tuple(groups),
        keys=tuple(keys),
        outcomes=np.array(table, dtype=np.float64).reshape(len(judged), len(models)),
    )


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
