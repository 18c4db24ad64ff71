"""What follows a rejected answer: the plan's next attempt, on the instance that is cheapest by then, or nothing.

A plan names its instances as the load stood when its request came. By the time that an answer is rejected, seconds have
passed and others have come: the model stays, the instance is chosen anew, and whether the attempt is worth it besides.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from extproc.decide.attempts import AttemptContext, CarriedAttempt, CarriedPlan, Continuation
from extproc.decide.first_correct import SUSPECT_PRICE_SECONDS, Objective
from extproc.decide.sequence import value_of_going_on
from extproc.estimate.forecast import Estimators, Forecaster
from extproc.facts.text import TextProfile
from extproc.fleet.snapshot import FleetSnapshot, Floats, Ints

CUT = "transport.context-full"
"""Reason of the rejection of an answer that somebody other than its client cut."""


@dataclass(frozen=True, slots=True)
class _Placed:
    """An attempt on the instance that is cheapest for it.

    Attributes:
        attempt: With that instance's address.
        price_seconds: Own time, the delay caused to others, and money.
        total_seconds: Own time alone.
    """

    attempt: CarriedAttempt
    price_seconds: float
    total_seconds: float


class ContinuationPlanner:
    """Says what follows rejected answers.

    Args:
        estimators: What is known of the fleet.
        forecaster: Prices attempts.
    """

    def __init__(self, estimators: Estimators, forecaster: Forecaster) -> None:
        self._estimators = estimators
        self._forecaster = forecaster

    def after(self, context: AttemptContext, snapshot: FleetSnapshot, objective: Objective) -> Continuation:
        """Say what follows a rejected answer at the present load.

        Args:
            context: Where the plan stands.
            snapshot: The fleet's load.
            objective: What the operator weighs; a plan may carry another one.
        """
        plan = context.plan
        remaining = [
            attempt for attempt in plan.attempts[context.position + 1 :] if attempt.chance is not None
        ]
        if not remaining or remaining[0] is not context.next_attempt:
            return Continuation(attempt=None, reason="no_further_model")
        places = [_places(attempt, plan, snapshot) for attempt in remaining]
        if any(not len(rows) for rows in places):
            return Continuation(attempt=None, reason="instance_gone")
        placed = self._place(remaining, places, plan, snapshot, plan.objective or objective)
        following = placed[0]
        if plan.deadline_seconds is not None:
            left = plan.deadline_seconds - context.elapsed_seconds
            if following.total_seconds > left:
                return Continuation(attempt=None, reason="deadline")
        if context.reason == CUT:
            # The gateway or the instance cut it: what the client would get is no whole answer.
            return Continuation(attempt=following.attempt, reason="was_cut")
        value = value_of_going_on(
            [one.attempt.chance or 0.0 for one in placed],
            [one.price_seconds for one in placed],
            worth_seconds=(plan.objective or objective).worth_seconds,
        )
        if value > 0.0:
            return Continuation(attempt=following.attempt, reason="worth_it")
        return Continuation(attempt=None, reason="not_worth_it")

    def _place(
        self,
        attempts: list[CarriedAttempt],
        places: list[Ints],
        plan: CarriedPlan,
        snapshot: FleetSnapshot,
        objective: Objective,
    ) -> list[_Placed]:
        """Put each attempt where it costs least, failing instances last."""
        rows = np.concatenate(places)
        lengths = [self._expected_output_tokens(attempt, plan.output_tokens) for attempt in attempts]
        output_tokens = np.repeat(lengths, [len(found) for found in places])
        prompt_tokens = float(plan.prompt_tokens or 0)
        latency = self._estimators.latency.predict(
            snapshot, rows, prompt_tokens=prompt_tokens, output_tokens=output_tokens, sequences=1
        )
        price: Floats = latency.total_seconds + objective.congestion_weight * latency.caused_seconds
        if objective.seconds_per_usd > 0.0:
            price = price + objective.seconds_per_usd * self._forecaster.attempt_usd(
                snapshot, rows, prompt_tokens=prompt_tokens, output_tokens=output_tokens
            )
        ranked_by = price + SUSPECT_PRICE_SECONDS * snapshot.suspect[rows]
        placed, start = [], 0
        for attempt, found in zip(attempts, places, strict=True):
            best = start + int(ranked_by[start : start + len(found)].argmin())
            address = snapshot.table.addresses[rows[best]]
            placed.append(
                _Placed(
                    attempt if address == attempt.address else replace(attempt, address=address),
                    float(price[best]),
                    float(latency.total_seconds[best]),
                )
            )
            start += len(found)
        return placed

    def _expected_output_tokens(self, attempt: CarriedAttempt, provided: int | None) -> float:
        limits = [limit for limit in (attempt.max_tokens, provided) if limit is not None]
        return self._estimators.outputs.expected(attempt.model, TextProfile(), min(limits, default=None))


def _places(attempt: CarriedAttempt, plan: CarriedPlan, snapshot: FleetSnapshot) -> Ints:
    """Rows where an attempt may be made, the planned one first.

    Others of its model must be in the planned one's pool and hold as many tokens; empty when the planned one is gone.
    """
    table = snapshot.table
    planned = table.row_by_address.get(attempt.address)
    if planned is None:
        return np.empty(0, dtype=np.int64)
    first = np.array([planned], dtype=np.int64)
    if plan.is_bound:
        return first
    twins = table.rows_of_models[int(table.model_index[planned])]
    is_fit = (
        (table.pool_index[twins] == table.pool_index[planned])
        & (table.max_model_len[twins] >= table.max_model_len[planned])
        & snapshot.usable[twins]
        & (twins != planned)
    )
    return np.concatenate((first, twins[is_fit]))
