from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import orjson
import pytest

from extproc.calibrate.lessons import Lesson, lesson_line
from extproc.fit.engine import STEPS, fit_from_tables
from extproc.fit.table import OutcomeTable
from extproc.model_directory import MANIFEST, load_model

MakeTable = Callable[..., OutcomeTable]


def write_table(path: Path, rows: int) -> str:
    rng = np.random.default_rng(0)
    lines = []
    for index in range(rows):
        hard = index % 2
        correct = {"a": int(rng.random() < (0.2 if hard else 0.9)), "b": int(rng.random() < 0.8)}
        topic = "tensor calculus proof" if hard else "kitchen recipe soup"
        lines.append(orjson.dumps({"prompt": f"A question {index} on {topic}", "correct": correct}).decode())
    path.write_text("\n".join(lines))
    return str(path)


def test_a_directory_is_made_from_a_table(tmp_path: Path) -> None:
    """The model loads, knows the table's models, and the manifest tells data, metrics and versions."""
    steps: list[str] = []
    source = write_table(tmp_path / "outcomes.jsonl", 300)
    fit_from_tables([source], tmp_path / "model", advance=steps.append)
    assert ("a", "b") == load_model(tmp_path / "model").names
    assert STEPS == len(steps)
    about = orjson.loads((tmp_path / "model" / MANIFEST).read_bytes())["about"]
    assert (["outcomes.jsonl"], 300, 64) == (about["sources"], about["rows"], len(about["data_sha256"]))
    assert about["metrics"]["log_loss"] < about["metrics"]["log_loss_of_prior"]
    assert 0 < about["metrics"]["log_loss_gain_error"] < about["metrics"]["log_loss_of_prior"]


def test_a_table_that_is_too_small_leaves_the_old_model(tmp_path: Path) -> None:
    """A refused fit changes nothing."""
    fit_from_tables([write_table(tmp_path / "good.jsonl", 60)], tmp_path / "model")
    with pytest.raises(ValueError, match="too few"):
        fit_from_tables([write_table(tmp_path / "small.jsonl", 5)], tmp_path / "model")
    assert ("a", "b") == load_model(tmp_path / "model").names


def test_a_source_that_is_neither_file_nor_set_is_named(tmp_path: Path) -> None:
    """A misspelt path is answered with what would do."""
    with pytest.raises(ValueError, match="neither a file"):
        fit_from_tables(["nowhere.jsonl"], tmp_path)


def test_every_bad_source_is_named(tmp_path: Path) -> None:
    """Two runs should not be needed to hear of two mistakes."""
    broken = tmp_path / "broken.jsonl"
    broken.write_text("[]")
    with pytest.raises(ValueError, match=r"(?s)nowhere\.jsonl: neither.*broken\.jsonl, line 1"):
        fit_from_tables(["nowhere.jsonl", str(broken)], tmp_path)


def test_a_place_that_cannot_be_a_directory_is_told_before_the_fit(tmp_path: Path) -> None:
    """Nobody waits for a fit that could not be written."""
    taken = tmp_path / "model"
    taken.write_text("mine")
    steps: list[str] = []
    with pytest.raises(ValueError, match="is a file; name another place"):
        fit_from_tables(["nowhere.jsonl"], taken, advance=steps.append)
    with pytest.raises(ValueError, match="is a file; name another place"):
        fit_from_tables(["nowhere.jsonl"], taken / "below", advance=steps.append)

    assert [] == steps
    assert "mine" == taken.read_text()


def test_a_published_set_needs_its_folder(tmp_path: Path) -> None:
    """Without the data, the answer is where it is published."""
    with pytest.raises(FileNotFoundError, match="https://"):
        fit_from_tables(["mmlu_pro"], tmp_path)


def test_a_log_of_the_service_is_enough_to_fit(make_table: MakeTable, tmp_path: Path) -> None:
    """One judged answer per question teaches who is good at what; answers after failures are not mistaken for weakness."""
    table = make_table(900)
    rng = np.random.default_rng(8)
    lessons = []
    for row, prompt in enumerate(table.prompts):
        first = int(rng.integers(0, 3))
        is_right = bool(table.outcomes[row, first])
        lessons.append(Lesson(f"q{row}", table.models[first], is_right, (), prompt))
        if not is_right:
            # Who comes second is asked only what others failed at: by these answers it would look hopeless.
            second = table.models.index("strong") if first != 1 else 0
            lessons.append(
                Lesson(
                    f"q{row}",
                    table.models[second],
                    is_correct=False,
                    after=(table.models[first],),
                    features=prompt,
                )
            )
    log = tmp_path / "outcomes.jsonl"
    log.write_bytes(b"".join(map(lesson_line, lessons)))
    model = fit_from_tables([str(log)], tmp_path / "model").model

    fresh = make_table(300, seed=9)
    said = np.array([model.log_odds(prompt)[0] for prompt in fresh.prompts])
    strong, specialist = (model.row(name) for name in ("strong", "specialist"))
    proofs = np.array(fresh.groups) == "proofs"
    assert (said[proofs, specialist] > said[proofs, strong]).mean() > 0.8
    assert (said[~proofs, specialist] < said[~proofs, strong]).mean() > 0.8
    rate = fresh.outcomes[:, table.models.index("strong")].mean()
    assert pytest.approx(np.log(rate / (1 - rate)), abs=0.35) == model.bias[strong]
