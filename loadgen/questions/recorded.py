"""Reads recorded outcomes: ZeroEval's GSM and CRUX, and MMLU-Pro, as the data folder holds them."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from loadgen.questions.question import BYTES_PER_TOKEN, Question, QuestionSet, split

Row = dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One benchmark's files and what its columns are called.

    Attributes:
        stem: What the names of its files begin with.
        kind: Kind of its questions; empty to take each question's category.
        columns: The column of each model.
        template_bytes: Prompt bytes around the question where the file does not give the prompt's size.
    """

    stem: str
    kind: str
    columns: Mapping[str, str]
    template_bytes: int = 0


_ZEROEVAL_MODELS = {
    "gemma-2-2b": "gemma-2-2b-it",
    "llama-3.1-8b": "Meta-Llama-3.1-8B-Instruct",
    "gemma-2-9b": "gemma-2-9b-it",
    "gemma-2-27b": "gemma-2-27b-it",
    "llama-3.1-70b": "Meta-Llama-3.1-70B-Instruct",
}
_MMLU_PRO_MODELS = {
    "phi-3-mini": "Phi-3-mini-4k-instruct",
    "mathstral-7b": "mathstral-7B",
    "llama-3.1-8b": "Meta-Llama-3_1-8B-Instruct",
    "mixtral-8x7b": "Mixtral-8x7B-Instruct-v0.1",
    "llama-3.1-70b": "Meta-Llama-3_1-70B-Instruct",
}

SOURCES: Mapping[str, tuple[Source, ...]] = {
    # NumerSense is left out: of open models it has the two Llama-3 alone.
    "zeroeval": (
        Source(
            stem="zeroeval_gsm",
            kind="gsm",
            columns=_ZEROEVAL_MODELS | {"gemma-2-27b": "gemma-2-27b-it@together"},
        ),
        Source(stem="zeroeval_crux", kind="crux", columns=_ZEROEVAL_MODELS),
    ),
    "mmlu_pro": (Source(stem="mmlu_pro", kind="", columns=_MMLU_PRO_MODELS, template_bytes=220),),
}
"""By name of the set. Each is a fleet of five open models from 2B or 4B to 70B."""


def read_questions(name: str, folder: Path, *, seed: int) -> QuestionSet:
    """Read a set.

    Args:
        name: A key of `SOURCES`.
        folder: The data folder; holds `quality/`.
        seed: Of the division into training and held-out questions.

    Raises:
        KeyError: No set has that name.
        FileNotFoundError: A file is missing.
        ValueError: The files hold no question that all models answered.
    """
    return read_sources(name, SOURCES[name], folder, seed=seed)


def read_sources(name: str, sources: Sequence[Source], folder: Path, *, seed: int) -> QuestionSet:
    """Read a set from benchmarks of one's own choice.

    Args:
        name: Name of the set.
        sources: Its benchmarks; all have columns for the same models.
        folder: The data folder; holds `quality/`.
        seed: Of the division into training and held-out questions.

    Raises:
        FileNotFoundError: A file is missing.
        ValueError: The files hold no question that all models answered.
    """
    questions = [question for source in sources for question in _read(source, folder / "quality")]
    if not questions:
        raise ValueError(f"{name}: no question that all models answered in {folder}")
    return split(name, tuple(sources[0].columns), questions, seed=seed, is_recorded=True)


def _read(source: Source, folder: Path) -> Iterator[Question]:
    prompts = {item["question_key"]: item for item in _prompts(folder / f"{source.stem}_prompts.jsonl.gz")}
    sizes = {row["question_key"]: row for row in _rows(folder / f"{source.stem}_output_bytes.csv.gz")}
    for outcome in _rows(folder / f"{source.stem}_outcomes.csv.gz"):
        key = outcome["question_key"]
        size, prompt = sizes.get(key), prompts.get(key)
        if size is None or prompt is None:
            continue
        if all(outcome[column] and size[column] for column in source.columns.values()):
            yield _question(source, prompt, outcome, size)


def _question(source: Source, prompt: Mapping[str, object], outcome: Row, size: Row) -> Question:
    options = prompt.get("options")
    text = "\n".join([str(prompt["question"]), *(options if isinstance(options, list) else [])])
    prompt_bytes = prompt.get("prompt_bytes")
    whole = prompt_bytes if isinstance(prompt_bytes, int) else len(text.encode()) + source.template_bytes
    return Question(
        key=outcome["question_key"],
        kind=source.kind or outcome["category"],
        text=text,
        prompt_tokens=max(1, round(whole / BYTES_PER_TOKEN)),
        correct={model: float(outcome[column]) >= 0.5 for model, column in source.columns.items()},
        output_tokens={
            model: max(1, round(float(size[column]) / BYTES_PER_TOKEN))
            for model, column in source.columns.items()
        },
    )


def _rows(path: Path) -> list[Row]:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _prompts(path: Path) -> Iterator[dict[str, object]]:
    with gzip.open(path, "rb") as file:
        for line in file:
            yield orjson.loads(line)
