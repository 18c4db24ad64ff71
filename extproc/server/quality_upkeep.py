"""Keeps the quality estimate supplied: fitted models come in, judged answers go out to the next fit."""

from __future__ import annotations

import logging
from collections.abc import Coroutine
from typing import Any

from extproc.estimate.quality.estimator import QualityEstimator
from extproc.estimate.quality.model import QualityModel
from extproc.router import Router
from extproc.server.from_settings import model_directory, outcome_log
from extproc.server.model_watch import ModelWatch
from extproc.server.outcome_log import OutcomeLog
from extproc.settings import Settings
from extproc.telemetry.metrics import Metrics
from extproc.telemetry.readings import QualityModelReading

logger = logging.getLogger(__name__)


class QualityUpkeep:
    """Joins the model directory and the outcome log to the router.

    Args:
        router: Whose lessons are logged, and whose mistakes in learning are told.
        quality: Its quality estimate.
        settings: Where the model and the log are.
        metrics: Counts what happens.
    """

    def __init__(
        self, router: Router, quality: QualityEstimator, settings: Settings, metrics: Metrics
    ) -> None:
        self._router = router
        self._quality = quality
        self._metrics = metrics
        self._models = ModelWatch(
            model_directory(settings),
            take_over=self._take_over,
            on_look=lambda accepted: metrics.quality_model_changed(accepted=accepted),
        )
        self._outcomes = OutcomeLog(*outcome_log(settings))
        router.on_learning_failure = self._failed
        self._keep_lessons()

    def load(self) -> None:
        """Take over the model that is there at the start, before what corrects it is restored."""
        self._models.load()

    def follow(self, settings: Settings) -> None:
        """Go on with the places that an edited fleet file names."""
        self._models.follow(model_directory(settings))
        self._outcomes.follow(*outcome_log(settings))
        self._keep_lessons()

    def tasks(self) -> dict[str, Coroutine[Any, Any, None]]:
        """What is to run until cancelled, by name."""
        return {"model-watch": self._models.run(), "outcome-log": self._outcomes.keep_writing()}

    @property
    def lessons_lost(self) -> int:
        """Judged answers that could not be written."""
        return self._outcomes.lost

    def _keep_lessons(self) -> None:
        self._router.lessons.tell = self._outcomes.add if self._outcomes.is_open else None

    def _take_over(self, model: QualityModel) -> None:
        """Use another fitted model from the next decision on; the same one again changes nothing."""
        if model.fit_id == self._quality.model.fit_id:
            return
        self._quality.replace(model)
        served = dict.fromkeys(cluster.model for cluster in self._router.book.table.clusters)
        logger.info(
            "quality model %s in use: fitted for %s; by their priors: %s",
            model.fit_id or "none",
            ", ".join(name for name in served if model.knows(name)) or "none of the fleet's models",
            ", ".join(name for name in served if not model.knows(name)) or "none",
        )

    def _failed(self, error: Exception) -> None:
        logger.error("a verdict taught nothing: %s", type(error).__name__, exc_info=error)
        self._metrics.learning_failed()


def quality_model_reading(model: QualityModel, lessons_lost: int = 0) -> QualityModelReading:
    """What the metrics page says of a model, and of what is kept for the next one."""
    return QualityModelReading(
        fit_id=model.fit_id,
        models=len(model.names),
        reads_words=model.text is not None,
        lessons_lost=lessons_lost,
    )
