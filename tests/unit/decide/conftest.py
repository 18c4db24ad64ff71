"""Builders for decisions: a snapshot of a fleet with given loads, and a token budget."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from extproc.decide.order import Policy
from extproc.decide.plan import TokenBudget
from extproc.decide.planner import PlanPolicy
from extproc.estimate.answer_limits import AnswerLimitEstimator
from extproc.estimate.forecast import Estimators, Forecaster
from extproc.estimate.latency import LatencyEstimator
from extproc.estimate.latency_filter import LEVELS
from extproc.estimate.latency_upper import UpperFactors
from extproc.estimate.output_length import OutputLengthEstimator
from extproc.estimate.predictions import Predictions
from extproc.estimate.quality.coupling import NODE_COUNT, WEIGHTS
from extproc.estimate.quality.estimator import QualityEstimator
from extproc.facts.request import Api, RequestFacts
from extproc.fleet.load import LoadBook
from extproc.fleet.snapshot import FleetSnapshot
from extproc.fleet.topology import Fleet


@pytest.fixture
def make_snapshot() -> Callable[..., FleetSnapshot]:
    """A snapshot of an idle fleet, with any of its arrays replaced."""

    def make(fleet: Fleet, **arrays: Any) -> FleetSnapshot:
        idle = LoadBook(fleet).snapshot(0.0)
        changes: dict[str, Any] = {k: np.array(v, dtype=getattr(idle, k).dtype) for k, v in arrays.items()}
        return replace(idle, **changes)

    return make


@pytest.fixture
def make_budget() -> Callable[..., TokenBudget]:
    """A budget of the given total whose output the client stated, unless said otherwise."""

    def make(prompt: int, output: int = 100, *, upper: int | None = None, given: bool = True) -> TokenBudget:
        return TokenBudget(
            prompt_tokens=prompt,
            prompt_tokens_upper=prompt if upper is None else upper,
            output_tokens=output,
            output_is_given=given,
        )

    return make


@pytest.fixture
def make_policy() -> Callable[..., PlanPolicy]:
    """Least work, at most three attempts."""

    def make(**changes: Any) -> PlanPolicy:
        values: dict[str, Any] = {
            "policy": Policy.LEAST_WORK,
            "max_attempts": 3,
            "request_timeout_seconds": 60.0,
            "per_try_timeout_seconds": None,
            "union_cluster": "fleet",
        }
        return PlanPolicy(**{**values, **changes})

    return make


@pytest.fixture
def make_predictions() -> Callable[..., Predictions]:
    """A forecast for every instance of a snapshot, with given chances by model, seconds and dollars by instance.

    Upper latencies are twice the seconds.
    """

    def make(
        snapshot: FleetSnapshot,
        *,
        chances: tuple[float, ...],
        seconds: tuple[float, ...],
        usd: tuple[float, ...],
    ) -> Predictions:
        table = snapshot.table
        estimators = Estimators(
            quality=QualityEstimator(),
            latency=LatencyEstimator(table),
            outputs=OutputLengthEstimator(),
            limits=AnswerLimitEstimator(),
        )
        made = Forecaster(estimators, table).forecast(
            RequestFacts(api=Api.CHAT_COMPLETIONS, model="auto"),
            table.rows,
            snapshot,
            prompt_tokens=100,
            history=None,
            is_conditional=False,
        )
        total = np.array(seconds)
        return replace(
            made,
            chances=np.repeat(np.array(chances)[:, np.newaxis], NODE_COUNT, axis=1),
            weights=WEIGHTS,
            latency=replace(
                made.latency,
                total_seconds=total,
                upper=UpperFactors(
                    logs=np.full((2 * LEVELS, len(table)), np.log(2.0)), rows=table.rows, quantile=0.95
                ),
                caused_seconds=np.zeros(len(total)),
            ),
            usd=np.array(usd),
        )

    return make
