from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from extproc.estimate.answer_limits import AnswerLimitEstimator
from extproc.estimate.forecast import Estimators
from extproc.estimate.latency import LatencyEstimator
from extproc.estimate.output_length import OutputLengthEstimator
from extproc.estimate.quality.estimator import QualityEstimator
from extproc.estimate.quality.model import QualityModel
from extproc.estimate.tokens import PromptTokenEstimator
from extproc.fleet.snapshot import FleetTable
from extproc.model_directory import save_model
from extproc.router import Router
from extproc.server.from_settings import output_provision, plan_policy
from extproc.server.quality_upkeep import QualityUpkeep, quality_model_reading
from extproc.sessions.book import SessionBook
from extproc.settings import Settings, load_settings
from extproc.telemetry.metrics import Metrics

VALID = (Path(__file__).parents[2] / "data" / "fleet" / "valid.yaml").read_text(encoding="utf-8")


class World:
    """A router of the small fleet with its upkeep, and the page of its metrics."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        settings = self.settings(model_directory=str(folder / "model"))
        fleet = settings.fleet()
        self.quality = QualityEstimator()
        self.router = Router(
            fleet,
            plan_policy(settings),
            output_provision=output_provision(settings),
            prompts=PromptTokenEstimator(),
            estimators=Estimators(
                quality=self.quality,
                latency=LatencyEstimator(FleetTable.of(fleet)),
                outputs=OutputLengthEstimator(),
                limits=AnswerLimitEstimator(),
            ),
            sessions=SessionBook(),
            rng=np.random.default_rng(0),
        )
        self.metrics = Metrics(list, lambda: 0, lambda: quality_model_reading(self.quality.model))
        self.upkeep = QualityUpkeep(self.router, self.quality, settings, self.metrics)

    def settings(self, **quality: Any) -> Settings:
        path = self.folder / "fleet.yaml"
        path.write_text(f"{VALID}\nquality: {quality}\n", encoding="utf-8")
        return load_settings(path)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_model_is_used_and_named(
    world: World, make_quality_model: Callable[..., QualityModel], caplog: pytest.LogCaptureFixture
) -> None:
    """The log says which of the fleet's models it knows, the metrics which fit it is."""
    save_model(make_quality_model(("tiny", "b"), (2.0, 0.0)), world.folder / "model", {})
    with caplog.at_level(logging.INFO):
        world.upkeep.load()

    assert world.quality.model.knows("tiny")
    assert "fitted for tiny; by their priors: none" in caplog.text
    assert f'fit="{world.quality.model.fit_id}"' in world.metrics.render()


def test_the_same_fit_again_forgets_nothing(
    world: World, make_quality_model: Callable[..., QualityModel]
) -> None:
    """Files that were only touched do not cost what answers have taught."""
    save_model(make_quality_model(("tiny", "b"), (2.0, 0.0)), world.folder / "model", {})
    world.upkeep.load()
    world.quality.learn_against("tiny", expected=0.5, correct=False)
    world.upkeep.load()

    assert 1 == world.quality.samples("tiny")


def test_an_edit_moves_the_model_and_opens_the_log(
    world: World, make_quality_model: Callable[..., QualityModel]
) -> None:
    """Without a log no lesson is kept; with one words are wanted whatever the policy; null takes the model back."""
    save_model(make_quality_model(("tiny", "b"), (2.0, 0.0)), world.folder / "model", {})
    world.upkeep.load()
    assert not world.router.reads_words

    world.upkeep.follow(world.settings(outcome_log=str(world.folder / "outcomes.jsonl")))
    assert world.router.reads_words
    assert "" == world.quality.model.fit_id


def test_a_mistake_in_learning_is_logged_and_counted(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """With its traceback, for it is a mistake of ours."""
    world.router.on_learning_failure(ZeroDivisionError("division by zero"))

    assert "ttca_learning_failures_total 1" in world.metrics.render()
    assert "ZeroDivisionError" in caplog.text


async def test_what_is_to_run_is_named(world: World) -> None:
    """Both loops, for the service to run until it ends."""
    tasks = world.upkeep.tasks()
    for task in tasks.values():
        task.close()

    assert {"model-watch", "outcome-log"} == set(tasks)


def test_lessons_that_are_lost_are_on_the_page() -> None:
    """Whoever fits the next model is to know that some are missing."""
    page = Metrics(list, lambda: 0, lambda: quality_model_reading(QualityEstimator().model, 3)).render()

    assert "\nttca_outcome_log_lost_total 3" in page
