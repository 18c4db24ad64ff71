from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from extproc.calibrate.lessons import Lesson, lesson_line
from extproc.fit.read import read_table
from extproc.fit.table import describe_prompt


def test_a_table_is_read_with_its_gaps(tmp_path: Path) -> None:
    """Each line is a row; a model that a line does not name was not asked; empty lines do not count."""
    path = tmp_path / "outcomes.jsonl"
    path.write_text(
        '{"prompt": "one", "correct": {"a": 1, "b": 0}, "group": "g", "key": "k"}\n\n'
        '{"prompt_bytes": 4096, "correct": {"b": 0.5}}\n'
    )
    table = read_table(path)
    assert (("a", "b"), ("g", "outcomes.jsonl"), "k") == (table.models, table.groups, table.keys[0])
    assert np.array_equal([[1.0, 0.0], [np.nan, 0.5]], table.outcomes, equal_nan=True)
    assert (12.0, b"") == (round(table.prompts[1].numbers[0], 2), table.prompts[1].grams)


def test_a_compressed_table_is_read(tmp_path: Path) -> None:
    """A name that ends in .gz is decompressed."""
    path = tmp_path / "outcomes.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"prompt": "one", "correct": {"a": 1}}'))
    assert ("a",) == read_table(path).models


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("{", "line 2"),
        ("[]", "expected an object"),
        ('{"correct": {"a": 1}}', "`prompt`"),
        ('{"prompt": "x"}', "`correct`"),
        ('{"prompt": "x", "correct": {}}', "`correct`"),
        ('{"prompt": "x", "correct": {"a": "yes"}}', "correct.a"),
        ('{"prompt": "x", "correct": {"a": 2}}', "correct.a"),
        ('{"prompt_bytes": true, "correct": {"a": 1}}', "prompt_bytes"),
    ],
)
def test_a_malformed_line_is_named(tmp_path: Path, line: str, complaint: str) -> None:
    """The complaint has the line's number and what is wrong with it."""
    path = tmp_path / "outcomes.jsonl"
    path.write_text('{"prompt": "x", "correct": {"a": 1}}\n' + line)
    with pytest.raises(ValueError, match=complaint) as caught:
        read_table(path)
    assert "line 2" in str(caught.value)


def test_a_broken_archive_is_refused(tmp_path: Path) -> None:
    """What only pretends to be gzip is a value error, like every other fault of the file."""
    path = tmp_path / "outcomes.jsonl.gz"
    path.write_bytes(b"not gzip")
    with pytest.raises(ValueError, match="outcomes"):
        read_table(path)


def test_an_empty_table_is_refused(tmp_path: Path) -> None:
    """A table without rows cannot be fitted."""
    path = tmp_path / "outcomes.jsonl"
    path.write_text("\n")
    with pytest.raises(ValueError, match="no outcome"):
        read_table(path)


def test_a_log_of_the_service_is_read(tmp_path: Path) -> None:
    """First answers count, the last verdict on each; an answer that came after a failure does not."""
    prompts = [describe_prompt(text) for text in ("the river", "a lemma")]
    path = tmp_path / "outcomes.jsonl"
    path.write_bytes(
        b"".join(
            map(
                lesson_line,
                [
                    Lesson("q1", "a", is_correct=False, after=(), features=prompts[0]),
                    Lesson("q1", "b", is_correct=False, after=("a",), features=prompts[0]),
                    Lesson("q2", "b", is_correct=False, after=(), features=prompts[1]),
                    Lesson("q2", "b", is_correct=True, after=(), features=prompts[1]),
                ],
            )
        )
        + b'{"prompt": "one", "correct": {"a": 1}}\n'
    )
    table = read_table(path)

    assert ("a", "b") == table.models
    nan = np.nan
    assert np.array_equal([[0.0, nan], [nan, 1.0], [1.0, nan]], table.outcomes, equal_nan=True)
    assert [prompt.grams for prompt in prompts] == [prompt.grams for prompt in table.prompts[:2]]


def test_a_log_of_another_release_is_refused_by_line(tmp_path: Path) -> None:
    """Its numbers would mean something else."""
    path = tmp_path / "outcomes.jsonl"
    path.write_text('{"v": 0, "numbers": []}\n')
    with pytest.raises(ValueError, match="line 1: `v`"):
        read_table(path)


def test_every_malformed_line_is_told_at_once(tmp_path: Path) -> None:
    """Up to ten by their numbers, the rest by their count, so that a table is mended in one go."""
    path = tmp_path / "outcomes.jsonl"
    path.write_text('{"prompt": "x", "correct": {"a": 1}}\n' + '{"prompt": "x"}\n\n' * 12)
    with pytest.raises(ValueError) as caught:
        read_table(path)

    told = str(caught.value).splitlines()
    assert 12 == len(told)
    assert ["outcomes.jsonl, line 2", "outcomes.jsonl, line 4"] == [
        line.partition(":")[0] for line in told[:2]
    ]
    assert "… and 2 more" == told[10]
    assert f"Of 13 lines of {path} 12 cannot be used, so nothing was fitted: mend or remove them." == told[11]


def test_a_damaged_archive_is_refused(tmp_path: Path) -> None:
    """Bytes that were changed on the way are told like a file that is none."""
    path = tmp_path / "outcomes.jsonl.gz"
    whole = bytearray(gzip.compress(b'{"prompt": "one", "correct": {"a": 1}}' * 50))
    whole[12:30] = bytes(18)
    path.write_bytes(bytes(whole))
    with pytest.raises(ValueError, match="not a whole gzip file"):
        read_table(path)
