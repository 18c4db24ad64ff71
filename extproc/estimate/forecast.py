"""Asks all estimators about one request at once: chances, latencies and prices of every candidate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from extproc.estimate.answer_limits import AnswerLimitEstimator
from extproc.estimate.cost import PriceTable
from extproc.estimate.latency import LatencyEstimator
from extproc.estimate.latency_upper import output_log_spread
from extproc.estimate.output_length import OutputLengthEstimator
from extproc.estimate.predictions import Predictions
from extproc.estimate.quality.coupling import ABILITY, WEIGHTS, Floats, ability, weights_after
from extproc.estimate.quality.estimator import QualityEstimator
from extproc.estimate.quality.features import describe
from extproc.facts.request import RequestFacts
from extproc.fleet.snapshot import FleetSnapshot, FleetTable, Ints
from extproc.sessions.book import SessionHistory

UPPER_QUANTILE = 0.95
"""Share of tries that end within their upper latency, the answer's length being no more certain than it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimators:
    """What is known about the fleet's models and instances; all of it learns."""

    quality: QualityEstimator
    latency: LatencyEstimator
    outputs: OutputLengthEstimator
    limits: AnswerLimitEstimator


class Forecaster:
    """Makes the figures that quality-weighing planners need."""

    def __init__(self, estimators: Estimators, table: FleetTable) -> None:
        self._estimators = estimators
        self._table = table
        self._prices = PriceTable.of(table)

    def forecast(
        self,
        facts: RequestFacts,
        rows: Ints,
        snapshot: FleetSnapshot,
        *,
        prompt_tokens: int,
        history: SessionHistory | None,
        is_conditional: bool,
    ) -> Predictions:
        """Predict a request on each of `rows`.

        Args:
            facts: The request.
            rows: Candidates, rows of the snapshot's table, shape (k,), at least one.
            snapshot: The fleet's load.
            prompt_tokens: Expected prompt tokens of all sequences.
            history: What is known of the request's session.
            is_conditional: True to condition the chances on the session's failures.
        """
        table = snapshot.table
        self._follow(table)
        names, model = _models(rows, table)
        failed = tuple(dict.fromkeys(history.failed_models)) if history else ()
        weights, chances = self._chances(facts, names, failed if is_conditional else ())
        output_tokens, length_spread = self._output_lengths(facts, names).take(model, axis=1)
        return Predictions(
            rows=rows,
            model=model,
            members=table.rows_of_models if rows is table.rows and names is table.models else None,
            chances=chances,
            weights=weights,
            names=names,
            failed=failed,
            latency=self._estimators.latency.predict(
                snapshot,
                rows,
                prompt_tokens=float(prompt_tokens),
                output_tokens=output_tokens,
                sequences=facts.choices,
                quantile=UPPER_QUANTILE,
                output_log_spread=length_spread,
            ),
            output_tokens=output_tokens,
            usd=self._prices.attempt_usd(
                rows, prompt_tokens=prompt_tokens, output_tokens=output_tokens, sequences=facts.choices
            ),
            output_usd=self._prices.output_usd(rows, output_tokens=output_tokens, sequences=facts.choices),
            limits=tuple(self._estimators.limits.limits(name) for name in names),
            ability=ABILITY if weights is WEIGHTS else ability(weights),
        )

    def attempt_usd(
        self,
        snapshot: FleetSnapshot,
        rows: Ints,
        *,
        prompt_tokens: float,
        output_tokens: Floats,
        sequences: int,
    ) -> Floats:
        """Price of one attempt on each of `rows` of the snapshot's table, in dollars."""
        self._follow(snapshot.table)
        return self._prices.attempt_usd(
            rows, prompt_tokens=prompt_tokens, output_tokens=output_tokens, sequences=sequences
        )

    def output_usd(
        self, snapshot: FleetSnapshot, rows: Ints, *, output_tokens: Floats, sequences: int
    ) -> Floats:
        """The part of `attempt_usd` that the output takes."""
        self._follow(snapshot.table)
        return self._prices.output_usd(rows, output_tokens=output_tokens, sequences=sequences)

    def _follow(self, table: FleetTable) -> None:
        if table is not self._table:
            self._table, self._prices = table, PriceTable.of(table)

    def _chances(
        self, facts: RequestFacts, names: tuple[str, ...], failed: tuple[str, ...]
    ) -> tuple[Floats, Floats]:
        """Node weights after the failures, and each model's chances; a model that failed keeps a small share."""
        features = describe(
            text=facts.text,
            grams=facts.grams,
            messages=facts.messages,
            tools=facts.tools,
            images=facts.images,
        )
        quality = self._estimators.quality
        weights, table = quality.node_table(features, (*names, *failed))
        if not failed:
            return weights, table
        weights = weights_after(table, range(len(names), len(table)))
        table = table[: len(names)].copy()
        repeated = [position for position, name in enumerate(names) if name in failed]
        table[repeated] *= quality.model.repeat_share
        return weights, table

    def _output_lengths(self, facts: RequestFacts, names: tuple[str, ...]) -> Floats:
        """Expected output lengths within the client's limit, and the deviations of their logarithms; shape (2, models)."""
        outputs, limit = self._estimators.outputs, facts.max_output_tokens
        found = outputs.expected_and_upper(names, facts.text, UPPER_QUANTILE, limit)
        spreads = [
            output_log_spread(mean, upper if limit is None else min(upper, limit), UPPER_QUANTILE)
            for mean, upper in found
        ]
        return np.array(([mean for mean, _ in found], spreads))


def _models(rows: Ints, table: FleetTable) -> tuple[tuple[str, ...], Ints]:
    """The models that some rows serve, in the order of the fleet file, and the index of each row's among them."""
    model_index = table.model_index if rows is table.rows else table.model_index.take(rows)
    counts = np.bincount(model_index, minlength=len(table.models))
    if np.count_nonzero(counts) == len(counts):
        return table.models, model_index
    is_present = counts > 0
    names = tuple(name for name, here in zip(table.models, is_present.tolist(), strict=True) if here)
    return names, (np.cumsum(is_present) - 1).take(model_index)
