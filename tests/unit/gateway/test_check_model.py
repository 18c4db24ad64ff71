from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from extproc.estimate.quality.model import QualityModel
from extproc.gateway.check import check
from extproc.model_directory import MANIFEST, save_model

VALID = (Path(__file__).parents[2] / "data" / "fleet" / "valid.yaml").read_text(encoding="utf-8")


@pytest.fixture
def fleet_file(tmp_path: Path) -> Path:
    path = tmp_path / "fleet.yaml"
    path.write_text(f"{VALID}\nquality:\n  model_directory: {tmp_path / 'model'}\n", encoding="utf-8")
    return path


def test_a_model_that_knows_the_fleet_raises_no_doubt(
    fleet_file: Path, make_quality_model: Callable[..., QualityModel]
) -> None:
    """The directory is read as the service would read it."""
    save_model(make_quality_model(("tiny", "b"), (0.0, 0.0)), fleet_file.with_name("model"), {})
    report = check(fleet_file)

    assert report.is_usable
    assert not [warning for warning in report.warnings if "fitted" in warning]


def test_models_that_the_fit_lacks_are_named(
    fleet_file: Path, make_quality_model: Callable[..., QualityModel]
) -> None:
    """Everything starts, with priors for these."""
    save_model(make_quality_model(("other",), (0.0,)), fleet_file.with_name("model"), {})
    report = check(fleet_file)

    assert report.is_usable
    assert any("was not fitted for" in warning for warning in report.warnings)


@pytest.mark.parametrize("is_there", [True, False])
def test_a_directory_that_cannot_be_used_is_a_mistake(
    fleet_file: Path, make_quality_model: Callable[..., QualityModel], is_there: bool
) -> None:
    """Absent or corrupt, it is named with its line."""
    if is_there:
        save_model(make_quality_model(), fleet_file.with_name("model"), {})
        (fleet_file.with_name("model") / MANIFEST).write_bytes(b"{")
    report = check(fleet_file)

    assert not report.is_usable
    (problem,) = report.problems
    assert "quality.model_directory" == problem.path
    lines = fleet_file.read_text(encoding="utf-8").splitlines()
    assert lines.index(f"  model_directory: {fleet_file.with_name('model')}") + 1 == problem.line
