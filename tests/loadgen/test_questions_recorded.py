from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from loadgen.questions.catalog import load_questions
from loadgen.questions.recorded import SOURCES, read_questions


def write_set(folder: Path, *, missing: str = "") -> None:
    """Three MMLU-Pro questions; the model `missing` was not asked the second one."""
    quality = folder / "quality"
    quality.mkdir()
    source = SOURCES["mmlu_pro"][0]
    columns = list(source.columns.values())
    header = ",".join(["question_id", "question_key", "category", *columns])
    outcomes, sizes, prompts = [header], [header], []
    for number in range(3):
        key = f"key{number}"
        right = [("" if number == 1 and column == missing else str(number % 2)) for column in columns]
        outcomes.append(",".join([str(number), key, "law", *right]))
        sizes.append(",".join([str(number), key, "law", *("420" for _ in columns)]))
        prompts.append(json.dumps({"question_key": key, "question": "What?", "options": ["a", "b"]}))
    for name, lines in (
        ("outcomes.csv", outcomes),
        ("output_bytes.csv", sizes),
        ("prompts.jsonl", prompts),
    ):
        with gzip.open(quality / f"mmlu_pro_{name}.gz", "wt", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")


def test_outcomes_lengths_and_text_are_joined_by_key(tmp_path: Path) -> None:
    """A question carries what each model made of it, with bytes turned into tokens."""
    write_set(tmp_path)
    found = read_questions("mmlu_pro", tmp_path, seed=1)
    by_key = {question.key: question for question in (*found.training, *found.held_out)}
    assert {"key0", "key1", "key2"} == set(by_key)
    assert dict.fromkeys(found.models, True) == dict(by_key["key1"].correct)
    assert dict.fromkeys(found.models, 100) == dict(by_key["key0"].output_tokens)
    assert ("law", "What?\na\nb") == (by_key["key0"].kind, by_key["key0"].text)
    assert found.is_recorded


def test_a_question_that_a_model_was_not_asked_is_left_out(tmp_path: Path) -> None:
    """An empty cell is unknown, not wrong."""
    write_set(tmp_path, missing="mathstral-7B")
    found = read_questions("mmlu_pro", tmp_path, seed=1)
    assert {"key0", "key2"} == {question.key for question in (*found.training, *found.held_out)}


def test_without_data_the_set_is_generated() -> None:
    """The catalog falls back to the fitted generator and says so."""
    assert not load_questions("mmlu_pro", None, seed=1).is_recorded


def test_an_unknown_set_is_refused_by_name() -> None:
    """The message names what there is."""
    with pytest.raises(ValueError, match="zeroeval, mmlu_pro"):
        load_questions("trivia", None, seed=1)
