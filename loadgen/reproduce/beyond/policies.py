"""The baselines of this study: every policy may only choose instances that can hold the request, and knows its prompt's tokens.

The stacked ones put the three published ideas one after the other, each blind to the others: a model router ranks the models
when the request comes, the token budget names the pool, the least loaded instance of that model and pool gets it,
and a wrong answer goes to the next model of the ranking, whatever the load.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from enum import StrEnum

import numpy as np

from extproc.estimate.output_length import kind_of
from extproc.estimate.quality.model import QualityModel
from extproc.facts.text import profile_text
from extproc.fit.table import describe_prompt
from extproc.fleet.snapshot import FleetSnapshot, FleetTable, Floats, Ints
from loadgen.questions.question import Question
from loadgen.virtual.knowledge import Chances, ExpectedLengths
from loadgen.virtual.policy import Asked, Forecast, HasChances, Predicted

OUTPUT_MARGIN_TOKENS = 1_024
"""Room left for the answer when an instance is asked whether it can hold a request."""


class FittedKnowledge:
    """Chances from the router's own fitted model, so that a baseline may know as much as the plan.

    Args:
        model: The fit.
        models: The fleet's models.
    """

    def __init__(self, model: QualityModel, models: tuple[str, ...]) -> None:
        self._model = model
        self._models = models
        self._known: dict[str, Chances] = {}

    def chances(self, question: Question) -> Chances:
        """P(correct) by model and latent difficulty; computed once for each key."""
        found = self._known.get(question.key)
        if found is None:
            weights, table = self._model.node_table(describe_prompt(question.text), self._models)
            found = self._known[question.key] = Chances(weights, table)
        return found


class LengthsByText(ExpectedLengths):
    """Mean tokens of each model's answers by what the router sees of a text, not by the question's true kind.

    Args:
        training: Questions to learn from.
        models: The fleet's models.
    """

    def __init__(self, training: Sequence[Question], models: Sequence[str]) -> None:
        self._kinds: dict[str, str] = {}
        super().__init__([replace(question, kind=self._kind(question)) for question in training], models)

    def tokens(self, question: Question) -> Floats:
        """Expected output tokens by model."""
        return super().tokens(replace(question, kind=self._kind(question)))

    def _kind(self, question: Question) -> str:
        found = self._kinds.get(question.key)
        if found is None:
            found = self._kinds[question.key] = str(kind_of(profile_text([question.text])))
        return found


class FittingForecast(Forecast):
    """Predicts infinity where the request does not fit.

    Args:
        table: The fleet.
        lengths: Expected lengths of answers.
        keeps_pools: True when only the first pool that can hold a request may have it.
    """

    def __init__(self, table: FleetTable, lengths: ExpectedLengths, *, keeps_pools: bool = False) -> None:
        super().__init__(table, lengths)
        self._keeps_pools = keeps_pools

    def fits(self, question: Question) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """Whether each row can hold a request, and may have it."""
        table = self.table
        result: np.ndarray[tuple[int], np.dtype[np.bool_]] = (
            table.max_model_len >= question.prompt_tokens + OUTPUT_MARGIN_TOKENS
        )
        if self._keeps_pools:
            result &= table.pool_index == table.pool_index[result].min()
        return result

    def predict(self, question: Question, snapshot: FleetSnapshot) -> Predicted:
        """As the base does; infinite where the request does not fit."""
        found = super().predict(question, snapshot)
        return Predicted(np.where(self.fits(question), found.own_seconds, np.inf), found.caused_seconds)

    def idle_seconds(self, question: Question) -> Floats:
        """Time of an attempt on each row with nothing else to do."""
        table = self.table
        tokens = self.tokens(question)[table.model_index]
        result: Floats = question.prompt_tokens / table.prefill_tokens_per_second + tokens * (
            table.iteration_base_seconds + table.iteration_per_sequence_seconds
        )
        return result


class RoundRobin:
    """Whoever was assigned longest ago among those that can hold the request and have not failed on it.

    Args:
        forecast: Knows who can hold it.
        most_attempts: Retry cap.
    """

    def __init__(self, forecast: FittingForecast, *, most_attempts: int) -> None:
        self._forecast = forecast
        self._most_attempts = most_attempts

    def choose(self, asked: Asked, snapshot: FleetSnapshot) -> int | None:
        """Row that was assigned longest ago; None at the cap, or when no model is left to ask."""
        if len(asked.rows) >= self._most_attempts:
            return None
        table = snapshot.table
        free = self._forecast.fits(asked.question)
        for model in asked.failed:
            free[table.rows_by_model[model]] = False
        rows = np.flatnonzero(free)
        return int(rows[np.argmin(snapshot.last_assigned[rows])]) if len(rows) else None


class Balance(StrEnum):
    """How an instance is chosen among those of a model and pool."""

    LEAST_REQUEST = "least request"
    LEAST_WORK = "least work"


Ranker = Callable[[Question], Floats]
"""Price by model; the least is asked first."""


class Stacked:
    """Model router, then pool by token budget, then instance by load, then blind retries down the ranking.

    Args:
        forecast: Latencies and fits; it is what keeps the pools.
        ranker: The model router.
        most_attempts: Retry cap.
        balance: How the instance is chosen.
    """

    def __init__(
        self,
        forecast: FittingForecast,
        ranker: Ranker,
        *,
        most_attempts: int,
        balance: Balance = Balance.LEAST_REQUEST,
    ) -> None:
        self._forecast = forecast
        self._ranker = ranker
        self._most_attempts = most_attempts
        self._balance = balance

    def choose(self, asked: Asked, snapshot: FleetSnapshot) -> int | None:
        """Row of the next model's least loaded instance in the request's pool; None when there is none left."""
        if len(asked.rows) >= self._most_attempts:
            return None
        table = snapshot.table
        price = self._ranker(asked.question)
        for model in asked.failed:
            price[table.models.index(model)] = np.inf
        model_index = int(np.argmin(price))
        if not np.isfinite(price[model_index]):
            return None
        rows = self._rows(asked.question, model_index, snapshot)
        if self._balance is Balance.LEAST_WORK:
            load = self._forecast.predict(asked.question, snapshot).own_seconds[rows]
        else:
            load = snapshot.sequences[rows]
        return int(rows[np.argmin(load)])

    def _rows(self, question: Question, model_index: int, snapshot: FleetSnapshot) -> Ints:
        """The model's instances that may have the request."""
        table = snapshot.table
        result: Ints = np.flatnonzero((table.model_index == model_index) & self._forecast.fits(question))
        return result


def rank_by_ratio(forecast: FittingForecast, knowledge: HasChances) -> Ranker:
    """LAAR's L/Q with the latency of an idle fleet: a model router does not see the load."""
    by_model = [int(rows[0]) for rows in forecast.rows_by_model]

    def rank(question: Question) -> Floats:
        quality = np.maximum(knowledge.chances(question).marginal(), 1e-6)
        result: Floats = forecast.idle_seconds(question)[by_model] / quality
        return result

    return rank


def rank_by_threshold(forecast: FittingForecast, knowledge: HasChances, *, share: float) -> Ranker:
    """The cheapest model that is likely enough to be right, after BEST-Route; then those by falling chance.

    Args:
        forecast: Idle latencies, which stand for the cost.
        knowledge: Chances.
        share: Likely enough means at least this share of the best model's chance.
    """
    by_model = [int(rows[0]) for rows in forecast.rows_by_model]

    def rank(question: Question) -> Floats:
        chance = knowledge.chances(question).marginal()
        enough = chance >= share * chance.max()
        cost = forecast.idle_seconds(question)[by_model]
        # Unlikely models come after all likely ones, the likeliest first.
        result: Floats = np.where(enough, cost, 1e6 * (2.0 - chance))
        return result

    return rank
