"""Published outcome tables, read from a local folder when they are there. None of them is part of this software."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

import numpy as np
import orjson

from extproc.estimate.quality.features import PromptFeatures, describe
from extproc.facts.text import Category, TextProfile
from extproc.fit.table import OutcomeTable, describe_prompt

VARIABLE: Final = "TTCA_DATA"
"""Environment variable that names the data folder."""

SOURCES: Final[Mapping[str, str]] = MappingProxyType({
    "zeroeval_gsm": "https://github.com/WildEval/ZeroEval (result_dirs)",
    "zeroeval_crux": "https://github.com/WildEval/ZeroEval (result_dirs)",
    "zeroeval_numersense": "https://github.com/WildEval/ZeroEval (result_dirs)",
    "mmlu_pro": "https://github.com/TIGER-AI-Lab/MMLU-Pro (eval_results)",
    "routellm_gsm8k": "https://github.com/lm-sys/RouteLLM (routellm/evals)",
    "routellm_mmlu": "https://github.com/lm-sys/RouteLLM (routellm/evals)",
    "ulab_llmrouter": "https://github.com/ulab-uiuc/LLMRouter (data)",
    "alpaca_eval": "https://github.com/tatsu-lab/alpaca_eval (results)",
    "longchat": "https://github.com/DachengLi1/LongChat (longeval)",
    "babilong": "https://github.com/booydar/babilong (babilong_evals)",
})  # fmt: skip
"""The sets that `load` knows, and where each is published."""

_BYTES_PER_TOKEN = 4


def data_folder(environ: Mapping[str, str], default: Path) -> Path | None:
    """Find the folder of published data: `TTCA_DATA`, else `default`; None when it is not there."""
    folder = Path(environ[VARIABLE]) if environ.get(VARIABLE) else default
    return folder if folder.is_dir() else None


def load(name: str, folder: Path) -> OutcomeTable:
    """Read one of `SOURCES`.

    Raises:
        FileNotFoundError: It is not in the folder; the text says where it is published.
        ValueError: The name is unknown.
    """
    if name not in SOURCES:
        raise ValueError(f"{name}: unknown data set; known are {', '.join(SOURCES)}")
    try:
        return _READERS.get(name.partition("_")[0], _read_benchmark)(name, folder)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{name}: {error.filename} is not there. It is made from {SOURCES[name]}; set {VARIABLE} to its folder."
        ) from error


def _read_benchmark(name: str, folder: Path) -> OutcomeTable:
    """Outcomes as a csv table with a column per model, prompts beside it."""
    quality = folder / "quality"
    key = "question_id" if name == "mmlu_pro" else "id"
    texts = {str(row[key]): _question(row) for row in _lines(quality / f"{name}_prompts.jsonl.gz")}
    rows = _records(quality / f"{name}_outcomes.csv.gz")
    columns = [column for column in rows[0] if column not in {key, "question_key", "category"}]
    return OutcomeTable(
        name=name,
        models=tuple(_common_name(column) for column in columns),
        prompts=tuple(describe_prompt(texts[row[key]]) for row in rows),
        groups=tuple(row.get("category", name) for row in rows),
        keys=tuple(row["question_key"] for row in rows),
        outcomes=_outcomes(rows, columns),
    )


def _read_routellm(name: str, folder: Path) -> OutcomeTable:
    rows = _lines(folder / "quality" / f"{name}.jsonl.gz")
    return OutcomeTable(
        name=name,
        models=("Mixtral-8x7B-Instruct-v0.1", "gpt-4-1106-preview"),
        prompts=tuple(describe_prompt(str(row["question"])) for row in rows),
        groups=tuple(str(row["subject"] or name) for row in rows),
        keys=tuple(str(row["question_key"]) for row in rows),
        outcomes=np.array([[row["mixtral_correct"], row["gpt4_correct"]] for row in rows], dtype=np.float64),
    )


def _read_ulab(name: str, folder: Path) -> OutcomeTable:
    rows = _lines(folder / "quality" / f"{name}.jsonl.gz")
    scores = [dict(row["scores"]) for row in rows]  # type: ignore[call-overload]
    models = tuple(sorted({model for row in scores for model in row}))
    return OutcomeTable(
        name=name,
        models=models,
        prompts=tuple(describe_prompt(str(row["question"])) for row in rows),
        groups=tuple(str(row["task"]) for row in rows),
        keys=tuple(str(row["question_key"]) for row in rows),
        outcomes=np.array([[row.get(model, np.nan) for model in models] for row in scores], dtype=np.float64),
    )


def _read_alpaca(name: str, folder: Path) -> OutcomeTable:
    """Preference over a fixed baseline, as one judge gave it: not correctness, but as near as open chat gets."""
    quality = folder / "quality"
    texts = {str(row["id"]): str(row["question"]) for row in _lines(quality / "alpaca_eval_prompts.jsonl.gz")}
    rows = _records(quality / "alpaca_eval_pref_gpt4.csv.gz")
    columns = [column for column in rows[0] if column not in {"id", "question_key"}]
    verdicts = _outcomes(rows, columns)  # -1 where the judge's answer could not be read
    return OutcomeTable(
        name=name,
        models=tuple(columns),
        prompts=tuple(describe_prompt(texts[row["id"]]) for row in rows),
        groups=tuple(name for _ in rows),
        keys=tuple(row["question_key"] for row in rows),
        outcomes=np.where(verdicts >= 0.0, verdicts, np.nan),
    )


def _read_longchat(name: str, folder: Path) -> OutcomeTable:
    """Retrieval of a line or topic; the prompts are known by their length alone."""
    rows = _records(folder / "long_context" / f"{name}.csv.gz")
    models = tuple(sorted({row["model"] for row in rows}))
    cells = {(row["task"], row["items"], row["row"]): {"tokens": row["prompt_tokens"]} for row in rows}
    for row in rows:
        cells[row["task"], row["items"], row["row"]][row["model"]] = row["correct"]
    return OutcomeTable(
        name=name,
        models=models,
        prompts=tuple(_sized(int(cell["tokens"])) for cell in cells.values()),
        groups=tuple(task for task, _, _ in cells),
        keys=tuple(":".join(cell) for cell in cells),
        outcomes=_outcomes(list(cells.values()), models),
    )


def _read_babilong(name: str, folder: Path) -> OutcomeTable:
    """Facts hidden in a long text; only the prompts that instruct the model, since the others cut the answer short."""
    rows = [
        row
        for row in _records(folder / "long_context" / f"{name}.csv.gz")
        if row["with_instruction"] == "1" and row["length_tokens"] != "0"
    ]
    model = rows[0]["model"]
    return OutcomeTable(
        name=name,
        models=(model,),
        prompts=tuple(_sized(int(row["length_tokens"])) for row in rows),
        groups=tuple(row["task"] for row in rows),
        keys=tuple(str(index) for index in range(len(rows))),
        outcomes=np.array([[float(row["correct"])] for row in rows if row["model"] == model]),
    )


def _sized(tokens: int) -> PromptFeatures:
    return describe(text=TextProfile(((Category.ENGLISH, tokens * _BYTES_PER_TOKEN),)), grams=b"")


def _question(row: Mapping[str, object]) -> str:
    options = row.get("options")
    lettered = enumerate(options) if isinstance(options, list) else ()
    return "\n".join((str(row["question"]), *(f"{chr(65 + index)}. {option}" for index, option in lettered)))


def _common_name(column: str) -> str:
    """One spelling for a model that two sets spell differently."""
    return column.replace("Llama-3_1", "Llama-3.1")


def _outcomes(
    rows: Sequence[Mapping[str, str]], columns: Sequence[str]
) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    values = [[float(row[column]) if row.get(column) else np.nan for column in columns] for row in rows]
    return np.array(values, dtype=np.float64)


def _lines(path: Path) -> list[dict[str, object]]:
    with gzip.open(path, "rb") as lines:
        return [orjson.loads(line) for line in lines]


def _records(path: Path) -> list[dict[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


_READERS: Final[Mapping[str, Callable[[str, Path], OutcomeTable]]] = MappingProxyType({
    "routellm": _read_routellm,
    "ulab": _read_ulab,
    "alpaca": _read_alpaca,
    "longchat": _read_longchat,
    "babilong": _read_babilong,
})  # fmt: skip
