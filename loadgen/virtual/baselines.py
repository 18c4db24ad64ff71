"""The policies to compare with: LAAR, load-aware, session affinity, round robin."""

from __future__ import annotations

import math

import numpy as np

from extproc.fleet.snapshot import FleetSnapshot, Floats
from loadgen.virtual.policy import Asked, Forecast, HasChances


class Laar:
    """Least latency over chance of success, L/Q (arXiv 2604.15732).

    The paper's penalty for a model that has failed on the question is not public. Both readings are here: a finite
    factor on L/Q per failure, and the infinite one, which asks no model twice.

    Args:
        forecast: Latencies.
        knowledge: Chances; the paper's know the prompt's length and language alone, and no failures.
        most_attempts: Retry cap.
        penalty: Factor on L/Q per failure of the model, at least 1; infinite to ask each model once.
    """

    def __init__(
        self, forecast: Forecast, knowledge: HasChances, *, most_attempts: int, penalty: float = math.inf
    ) -> None:
        self._forecast = forecast
        self._knowledge = knowledge
        self._most_attempts = most_attempts
        self._penalty = penalty

    def choose(self, asked: Asked, snapshot: FleetSnapshot) -> int | None:
        """Row of the least L/Q; None at the cap, or when no model is left to ask."""
        if len(asked.rows) >= self._most_attempts:
            return None
        table = snapshot.table
        quality = self._knowledge.chances(asked.question).marginal()[table.model_index]
        price = self._forecast.predict(asked.question, snapshot).own_seconds / np.maximum(quality, 1e-6)
        return _least(price * _penalties(asked, snapshot, self._penalty))


class LoadAware:
    """Least predicted latency, whatever the model; after a failure on another model, unless it forgets.

    Args:
        forecast: Latencies.
        most_attempts: Retry cap.
        penalty: Factor on the latency per failure of the model; infinite to ask each model once, 1 to forget failures.
    """

    def __init__(self, forecast: Forecast, *, most_attempts: int, penalty: float = math.inf) -> None:
        self._forecast = forecast
        self._most_attempts = most_attempts
        self._penalty = penalty

    def choose(self, asked: Asked, snapshot: FleetSnapshot) -> int | None:
        """Row of the least latency; None at the cap, or when no model is left to ask."""
        if len(asked.rows) >= self._most_attempts:
            return None
        own = self._forecast.predict(asked.question, snapshot).own_seconds
        return _least(own * _penalties(asked, snapshot, self._penalty))


class SessionAffinity:
    """Retries go to the instance of the first attempt, which has the prompt in its cache.

    Args:
        first: Chooses that instance.
        most_attempts: Retry cap.
    """

    def __init__(self, first: Laar | LoadAware, *, most_attempts: int) -> None:
        self._first = first
        self._most_attempts = most_attempts

    def choose(self, asked: Asked, snapshot: FleetSnapshot) -> int | None:
        """Row of the first attempt; None at the cap."""
        if len(asked.rows) >= self._most_attempts:
            return None
        return asked.rows[0] if asked.rows else self._first.choose(asked, snapshot)


class RoundRobin:
    """Whoever was assigned longest ago.

    Args:
        most_attempts: Retry cap.
    """

    def __init__(self, *, most_attempts: int) -> None:
        self._most_attempts = most_attempts

    def choose(self, asked: Asked, snapshot: FleetSnapshot) -> int | None:
        """Row that was assigned longest ago; None at the cap."""
        if len(asked.rows) >= self._most_attempts:
            return None
        return int(np.argmin(snapshot.last_assigned))


def _penalties(asked: Asked, snapshot: FleetSnapshot, penalty: float) -> Floats:
    """Factor by row for the failures of its model."""
    table = snapshot.table
    factors = np.ones(len(table))
    for model in asked.failed:
        factors[table.rows_by_model[model]] *= penalty
    return factors


def _least(price: Floats) -> int | None:
    row = int(np.argmin(price))
    return row if math.isfinite(price[row]) else None
