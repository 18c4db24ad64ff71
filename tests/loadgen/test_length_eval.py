from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from extproc.facts.text import profile_text
from loadgen import length_eval
from loadgen.length_eval import BEGIN, FORMS, OURS, SETS, STREAMS, Answered, judge, main, place, predict, read

PROSE, CODE = "Tell me about the river, please, at length.", "def f(x): return {x[0]: (x[1], -x[2])} != []"


def a_stream(questions: int = 400) -> list[Answered]:
    """Two models, one of which talks ten times as much; code is answered briefly by both."""
    rng = np.random.default_rng(1)
    stream = []
    for index in range(questions):
        is_code = index % 2 == 1
        scale = 40 if is_code else 400
        tokens = {
            "brief": int(rng.lognormal(np.log(scale), 0.3)),
            "chatty": int(rng.lognormal(np.log(10 * scale), 0.3)),
        }
        stream.append(Answered(profile_text([CODE if is_code else PROSE]), tokens))
    return stream


def test_telling_models_and_kinds_apart_lowers_the_loss() -> None:
    """Each thing that is told apart is worth something where it matters, and quantiles stay honest."""
    forms: Any = judge(a_stream(), seed=0)["forms"]
    ratios = [forms[name]["0.9"]["loss_ratio"] for name in ("all alike", "by model", OURS)]

    assert [1.0, 1.0, 1.0] == ratios[0]
    assert ratios[0][0] > ratios[1][2]
    assert ratios[1][1] > ratios[2][2]
    assert pytest.approx(0.9, abs=0.04) == forms[OURS]["0.9"]["within"]


def test_a_prediction_knows_nothing_of_its_own_answer() -> None:
    """Changing the last answer changes the loss of the last prediction alone."""
    stream = a_stream(50)
    changed = [*stream[:-1], Answered(stream[-1].text, {"brief": 9_000, "chatty": 9_000})]
    first, second = (predict(each, FORMS[OURS]) for each in (stream, changed))

    assert np.array_equal(first[:-1], second[:-1])
    assert not np.array_equal(first[-1], second[-1])


def test_a_section_replaces_itself_and_nothing_else() -> None:
    """What others wrote into the document stays."""
    document = place("old", "# Title\n\nbefore\n") + "\n## After\n"

    assert document.replace("old", "new").split() == place("new", document).split()
    assert place("text", "").startswith("# Estimators\n\n" + BEGIN)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Made-up recordings of every set and model, in the published form."""
    (tmp_path / "quality").mkdir()
    models = sorted({model for _, models in STREAMS.values() for model in models})
    for name in SETS:
        rows = [
            {"question_key": f"{name}{index}", "question": PROSE, "options": ["a", "b"]}
            for index in range(30)
        ]
        with gzip.open(tmp_path / "quality" / f"{name}_prompts.jsonl.gz", "wt") as lines:
            lines.writelines(json.dumps(row) + "\n" for row in rows)
        columns = [model.replace("Llama-3.1", "Llama-3_1") for model in models]
        with gzip.open(tmp_path / "quality" / f"{name}_output_bytes.csv.gz", "wt") as table:
            table.write(",".join(["id", "question_key", *columns]) + "\n")
            for index in range(30):
                sizes = ["" if index == 0 and at == 0 else str(100 + at) for at in range(len(models))]
                table.write(",".join([str(index), f"{name}{index}", *sizes]) + "\n")
    return tmp_path


def test_recordings_are_read_with_their_gaps(folder: Path) -> None:
    """A model without an answer to a question is left out of it; both spellings of a name are one."""
    stream = read(folder, *STREAMS["exams"], seed=0)

    assert 30 == len(stream)
    assert {"Meta-Llama-3.1-8B-Instruct", "Meta-Llama-3.1-70B-Instruct"} <= set(stream[0].tokens)
    assert all(tokens >= 25 for answered in stream for tokens in answered.tokens.values())


def test_the_document_and_the_figures_are_written(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every stream and form has its row."""
    monkeypatch.setenv("TTCA_DATA", str(folder))
    monkeypatch.setattr(length_eval, "SAMPLES", 20)
    out, document = tmp_path / "lengths.json", tmp_path / "doc.md"

    assert 0 == main(["--out", str(out), "--doc", str(document)])
    assert set(STREAMS) == set(json.loads(out.read_text())["streams"])
    rows = [line for line in document.read_text().splitlines() if line.startswith("| ") and "%" in line]
    assert len(STREAMS) * len(FORMS) == len(rows) - 1


def test_without_data_the_sources_are_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is written."""
    monkeypatch.setattr(length_eval, "data_folder", lambda _: None)

    assert 1 == main(["--out", str(tmp_path / "x.json"), "--doc", str(tmp_path / "x.md")])
    assert all(where in capsys.readouterr().out for where in [SETS["mmlu_pro"]])
    assert not (tmp_path / "x.md").exists()
