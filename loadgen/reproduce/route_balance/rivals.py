"""The paper's rivals: a model is chosen first, an instance of it second.

`Chooser` says which model. BEST-Route's form asks a classifier for the smallest model that suffices, and takes the
smallest of all when it is not sure. Avengers-Pro's form ranks models by cluster of similar questions. Scoring takes no
time and nobody waits for it: the paper calls that the enhanced rivals.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

import numpy as np

from extproc.fleet.snapshot import FleetSnapshot
from loadgen.questions.question import Question
from loadgen.reproduce.route_balance.sight import Floats, Sight
from loadgen.virtual.policy import Asked

Chooser = Callable[[Question], int | None]
"""Index of a question's model; None for any."""


class Dispatch(StrEnum):
    """Which instance of a model."""

    SHORTEST_QUEUE = "shortest_queue"
    ROUND_ROBIN = "round_robin"
    RANDOM = "random"


def best_route(sight: Sight, confidence: float) -> Chooser:
    """The likeliest smallest sufficient model, or the smallest of all below `confidence` (0 to 1; 0 always believes).

    The paper's four-way rival.
    """
    sure = sight.sufficient.max(axis=1) >= confidence
    chosen = np.where(sure, sight.sufficient.argmax(axis=1), 0)
    return lambda question: int(chosen[sight.row(question)])


def best_route_match(sight: Sight, chance: float) -> Chooser:
    """The smallest model that suffices with at least this chance (0 to 1), else the largest.

    BEST-Route's own threshold, on the same classifier: a stronger rival where answers are only right or wrong.
    """
    suffices = np.cumsum(sight.sufficient, axis=1) >= chance
    chosen = np.where(suffices.any(axis=1), suffices.argmax(axis=1), suffices.shape[1] - 1)
    return lambda question: int(chosen[sight.row(question)])


def avengers(sight: Sight, performance_weight: float) -> Chooser:
    """The best of a cluster by quality and price, each spread to 0..1 over the models, weighed against each other.

    Args:
        sight: What is known of the questions.
        performance_weight: Weight of quality, 0 to 1; the rest is that of the price.
    """
    quality, usd = _spread(sight.cluster_quality), _spread(sight.cluster_usd)
    chosen = (performance_weight * quality + (1.0 - performance_weight) * (1.0 - usd)).argmax(axis=1)
    return lambda question: int(chosen[sight.row(question)])


def always(model: int | None) -> Chooser:
    """The same model for every question; None leaves the model to the dispatch."""
    return lambda _question: model


class ModelThenInstance:
    """A policy of one attempt.

    Args:
        chooser: Chooses the model.
        dispatch: Chooses the instance.
        rng: For random dispatch.
    """

    def __init__(self, chooser: Chooser, dispatch: Dispatch, rng: np.random.Generator) -> None:
        self._chooser = chooser
        self._dispatch = dispatch
        self._rng = rng

    def choose(self, asked: Asked, snapshot: FleetSnapshot) -> int | None:
        """Row of the instance; None after the one attempt."""
        if asked.rows:
            return None
        table, model = snapshot.table, self._chooser(asked.question)
        rows = table.rows if model is None else table.rows_by_model[table.models[model]]
        if self._dispatch is Dispatch.RANDOM:
            return int(self._rng.choice(rows))
        queue = snapshot.sequences[rows] if self._dispatch is Dispatch.SHORTEST_QUEUE else np.zeros(len(rows))
        return int(rows[np.lexsort((snapshot.last_assigned[rows], queue))[0]])


def _spread(values: Floats) -> Floats:
    low, high = values.min(axis=1, keepdims=True), values.max(axis=1, keepdims=True)
    result: Floats = np.divide(values - low, high - low, out=np.zeros_like(values), where=high > low)
    return result
