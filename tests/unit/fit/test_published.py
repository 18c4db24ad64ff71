from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import orjson
import pytest

from extproc.fit.published import SOURCES, VARIABLE, data_folder, load


def write(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content.encode()))


def lines(*rows: dict[str, object]) -> str:
    return "\n".join(orjson.dumps(row).decode() for row in rows)


@pytest.mark.parametrize("name", list(SOURCES))
def test_a_missing_set_says_where_it_is_published(tmp_path: Path, name: str) -> None:
    """Whoever lacks the data learns where it comes from."""
    with pytest.raises(FileNotFoundError, match="is made from https"):
        load(name, tmp_path)


def test_an_unknown_set_names_the_known_ones(tmp_path: Path) -> None:
    """A misspelt name is answered with the right ones."""
    with pytest.raises(ValueError, match="mmlu_pro"):
        load("mmlu", tmp_path)


def test_a_benchmark_joins_prompts_and_outcomes(tmp_path: Path) -> None:
    """Options become part of the prompt, a spelling of a model is made one, and an empty cell is a gap."""
    quality = tmp_path / "quality"
    write(
        quality / "mmlu_pro_prompts.jsonl.gz",
        lines({"question_id": 7, "question": "Which?", "options": ["this", "that"]}),
    )
    write(
        quality / "mmlu_pro_outcomes.csv.gz",
        "question_id,question_key,category,Meta-Llama-3_1-8B,b\n7,key,law,1,\n",
    )
    table = load("mmlu_pro", tmp_path)
    assert (("Meta-Llama-3.1-8B", "b"), ("law",), ("key",)) == (table.models, table.groups, table.keys)
    assert np.array_equal([[1.0, np.nan]], table.outcomes, equal_nan=True)
    assert 22 == round(2 ** table.prompts[0].numbers[0]) - 1


def test_verdicts_that_could_not_be_read_are_gaps(tmp_path: Path) -> None:
    """A judge's -1 is no outcome."""
    quality = tmp_path / "quality"
    write(quality / "alpaca_eval_prompts.jsonl.gz", lines({"id": 0, "question": "Who?"}))
    write(quality / "alpaca_eval_pref_gpt4.csv.gz", "id,question_key,a,b\n0,key,-1,0.5\n")
    assert np.array_equal([[np.nan, 0.5]], load("alpaca_eval", tmp_path).outcomes, equal_nan=True)


def test_long_contexts_are_known_by_their_length(tmp_path: Path) -> None:
    """Models that got the same lines share a row; the prompt's bytes are reckoned from its tokens."""
    write(
        tmp_path / "long_context" / "longchat.csv.gz",
        "task,model,items,row,prompt_tokens,correct\nlines,a,200,0,4096,1\nlines,b,200,0,4096,0\n",
    )
    table = load("longchat", tmp_path)
    assert (("a", "b"), [[1.0, 0.0]]) == (table.models, table.outcomes.tolist())
    assert 14.0 == round(table.prompts[0].numbers[0], 2)


def test_the_folder_is_the_named_one_else_the_default(tmp_path: Path) -> None:
    """The variable wins; what is not there is None."""
    named = tmp_path / "named"
    named.mkdir()
    assert named == data_folder({VARIABLE: str(named)}, tmp_path)
    assert tmp_path == data_folder({}, tmp_path)
    assert data_folder({}, tmp_path / "absent") is None
