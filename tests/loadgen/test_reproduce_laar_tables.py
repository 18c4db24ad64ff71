from __future__ import annotations

import csv
import gzip
from pathlib import Path

import numpy as np
import pytest

from loadgen.reproduce.laar.accuracy import CELLS, LENGTHS, Cell, Language, accuracy_table
from loadgen.reproduce.laar.curves import FITTED, Curve, find_measurements, fit_curve, read_measurements
from loadgen.reproduce.laar.hardware import MODELS, SHAPES, build_instances, idle_seconds

TABLE = accuracy_table(FITTED)


def write(path: Path, rows: list[dict[str, object]]) -> None:
    """A gzipped csv file with these rows."""
    with gzip.open(path, "wt", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def points(curve: Curve, *, count: int) -> list[tuple[float, float]]:
    """Answers drawn from a curve at lengths between 2K and 32K."""
    rng = np.random.default_rng(1)
    lengths = 2.0 ** rng.uniform(11, 15, count)
    chances = [1.0 / (1.0 + np.exp(-curve.log_odds(tokens))) for tokens in lengths]
    return [(float(n), float(rng.random() < p)) for n, p in zip(lengths, chances, strict=True)]


def test_a_fit_finds_the_curve_that_was_drawn_from() -> None:
    """Bias and slope come back within sampling error."""
    found = fit_curve(points(Curve(1.0, -1.5), count=4_000))
    assert found.bias == pytest.approx(1.0, abs=0.15)
    assert found.slope == pytest.approx(-1.5, abs=0.15)


def test_without_the_data_folder_earlier_fits_stand_in() -> None:
    """And say so."""
    assert find_measurements(None) is FITTED
    assert not FITTED.is_recorded


def test_measurements_are_read_from_the_folder(tmp_path: Path) -> None:
    """Curves by model, and the median change of the log odds by language over models that know English."""
    folder = tmp_path / "long_context"
    folder.mkdir()
    drawn = points(Curve(0.0, -1.0), count=400)
    write(
        folder / "babilong.csv.gz",
        [
            {
                "task": task,
                "length_tokens": 16_000 if right else 32_000,
                "with_instruction": 1,
                "correct": right,
            }
            for task in ("qa1", "qa2")
            for right in (0, 1, 0, 1)
        ],
    )
    write(
        folder / "longchat.csv.gz",
        [
            {"task": "lines", "model": "m", "prompt_tokens": round(tokens), "correct": right}
            for tokens, right in drawn
        ],
    )
    accuracies = {"good": (0.5, 0.2, 0.3), "bad": (0.02, 0.9, 0.9)}
    write(
        folder / "self_translate.csv.gz",
        [
            {"task": "mgsm", "translator": "", "model": model, "language": language, "accuracy": accuracy}
            for model, row in accuracies.items()
            for language, accuracy in zip(("en", "ja", "zh"), row, strict=True)
        ],
    )
    found = read_measurements(folder)
    assert {"babilong", "m"} == set(found.curves)
    assert found.curves["m"].slope == pytest.approx(-1.0, abs=0.35)
    assert found.curves["babilong"].slope < 0.0
    assert found.japanese == pytest.approx(np.log(0.2 / 0.8), abs=0.05)
    assert found.chinese == pytest.approx(np.log(0.3 / 0.7), abs=0.05)
    assert found.is_recorded


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    """A folder without the files is no reason to fall back silently."""
    with pytest.raises(FileNotFoundError, match="babilong"):
        find_measurements(tmp_path)


def test_the_ranking_of_the_models_is_not_the_same_everywhere() -> None:
    """More than one model is the best one somewhere, alone."""
    best = {max(chances, key=lambda model: chances[model]) for chances in TABLE.values()}
    assert len(best) >= 2


def test_the_small_phi_beats_larger_models_at_16k() -> None:
    """Phi-3-mini is ahead of Phi-3-medium there, and behind it at 4K."""
    at = {length: TABLE[Cell(length, Language.ENGLISH)] for length in (4_096, 16_384)}
    assert at[16_384]["phi-3-mini"] > at[16_384]["phi-3-medium"] + 0.1
    assert at[4_096]["phi-3-mini"] < at[4_096]["phi-3-medium"]


def test_swallow_collapses_past_32k() -> None:
    """Useful at 32K in English, useless at 64K."""
    by_length = [TABLE[Cell(length, Language.ENGLISH)]["llama-3.1-swallow-8b"] for length in LENGTHS]
    assert by_length[3] > 0.7
    assert by_length[4] < 0.1


def test_chinese_collapses_where_english_is_fine() -> None:
    """Swallow at 32K."""
    english, chinese = (
        TABLE[Cell(32_768, language)]["llama-3.1-swallow-8b"]
        for language in (Language.ENGLISH, Language.CHINESE)
    )
    assert english > 0.7
    assert chinese < 0.1


def test_no_model_is_certain() -> None:
    """Chances stay off 0 and 1, and fall with length in every language."""
    for chances in TABLE.values():
        assert all(0.01 <= chance <= 0.98 for chance in chances.values())
    for language in Language:
        for model in MODELS:
            falling = [TABLE[cell][model] for cell in CELLS if cell.language is language]
            assert sorted(falling, reverse=True) == falling


def test_larger_models_and_longer_prompts_take_longer() -> None:
    """More than in proportion to the length, for attention grows too."""
    by_size = [idle_seconds(shape, 4_096) for shape in SHAPES]
    assert sorted(by_size) == by_size
    for shape in SHAPES:
        assert idle_seconds(shape, 65_536) > 1.5 * 8 * idle_seconds(shape, 8_192) * 0.75


def test_every_instance_holds_the_longest_prompt_twice() -> None:
    """Two requests of 64K fit into every KV cache."""
    for engine in build_instances(65_536).engines.values():
        assert engine.kv_blocks * engine.block_size >= 2 * 65_536
