"""What is done about a rejected answer: the plan's best attempt by then, on the instance that is cheapest by then, or nothing.

A plan names models and instances as the load stood when its request came. By the time that an answer is rejected, seconds
have passed and others have come. The plan's models stay; their order, their instances, the limits of their answers and
whether another attempt is worth it are decided anew, by the same rules (`sequence`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from extproc.decide.attempts import AttemptContext, CarriedAttempt, CarriedPlan, Continuation, Following
from extproc.decide.first_correct import SUSPECT_PRICE_SECONDS, Objective, limits_of
from extproc.decide.sequence import Limits, Step, best_sequence, value_of_going_on
from extproc.estimate.forecast import Estimators, Forecaster
from extproc.estimate.latency_records import LoadAtDecision
from extproc.estimate.quality.coupling import table_of, weights_after
from extproc.facts.text import TextProfile
from extproc.fleet.snapshot import FleetSnapshot, Floats, Ints

CUT = "transport.context-full"
"""Reason of the rejection of an answer that somebody other than its client cut."""


@dataclass(frozen=True, slots=True)
class _Offer:
    """One of the plan's attempts, on the instance that is cheapest for it.

    Attributes:
        position: Index in the plan.
        attempt: With that instance's address.
        price_seconds: Own time, the delay caused to others, and money.
        total_seconds: Own time alone.
        saved_most_seconds: The part of the price that the answer's tokens after the first make.
        load: The instance's load.
    """

    position: int
    attempt: CarriedAttempt
    price_seconds: float
    total_seconds: float
    saved_most_seconds: float
    load: LoadAtDecision

    def within(self, step: Step, limits: Limits | None) -> _Offer:
        """The attempt as a sequence makes it: with its chance there, and cut where that is worth it."""
        attempt = replace(self.attempt, chance=step.chance, max_tokens=step.max_tokens)
        price = self.price_seconds
        if limits is not None and step.max_tokens is not None:
            price -= float(limits.saved_seconds[limits.tokens.tolist().index(step.max_tokens)])
        return replace(self, attempt=attempt, price_seconds=price)


class ContinuationPlanner:
    """Says what is done about rejected answers.

    Args:
        estimators: What is known of the fleet.
        forecaster: Prices attempts.
    """

    def __init__(self, estimators: Estimators, forecaster: Forecaster) -> None:
        self._estimators = estimators
        self._forecaster = forecaster

    def after(
        self,
        context: AttemptContext,
        snapshot: FleetSnapshot,
        objective: Objective,
        text: TextProfile | None,
    ) -> Continuation:
        """Say what follows a rejected answer at the present load.

        Args:
            context: Where the plan stands.
            snapshot: The fleet's load.
            objective: What the operator weighs; a plan may carry another one.
            text: What the prompt looks like; None when another replica decided.
        """
        plan, objective = context.plan, context.plan.objective or objective
        unanswered = context.unanswered
        positions = [
            one for one in (*context.remaining, *unanswered) if plan.attempts[one].chance is not None
        ]
        if not positions and not plan.tells_chances and not plan.is_deterministic:
            # Nobody knows a better model, but the same one may do better the next time.
            positions = list(context.remaining)
        if not positions:
            return Continuation(following=None, reason="no_further_model")
        places = [
            _places(plan.attempts[position], plan, snapshot, is_again=position in unanswered)
            for position in positions
        ]
        offers = self._offers(
            [(position, rows) for position, rows in zip(positions, places, strict=True) if len(rows)],
            plan,
            snapshot,
            objective,
            text or TextProfile(),
        )
        if not offers:
            return Continuation(following=None, reason="instance_gone")
        if plan.deadline_seconds is not None:
            left = plan.deadline_seconds - context.elapsed_seconds
            offers = [one for one in offers if one.total_seconds <= left]
            if not offers:
                return Continuation(following=None, reason="deadline")
        return self._best(offers, context, objective)

    def _best(self, offers: list[_Offer], context: AttemptContext, objective: Objective) -> Continuation:
        ordered = self._ordered(offers, context, objective)
        first = ordered[0]
        following = Following(attempt=first.attempt, position=first.position)
        if context.reason == CUT:
            # The gateway or the instance cut it: what the client would get is no whole answer.
            return Continuation(following=following, reason="was_cut", load=first.load)
        if first.attempt.chance is None:
            return Continuation(following=following, reason="planned", load=first.load)
        value = value_of_going_on(
            [one.attempt.chance or 0.0 for one in ordered],
            [one.price_seconds for one in ordered],
            worth_seconds=objective.worth_seconds,
        )
        if value > 0.0:
            return Continuation(following=following, reason="worth_it", load=first.load)
        return Continuation(following=None, reason="not_worth_it")

    def _ordered(self, offers: list[_Offer], context: AttemptContext, objective: Objective) -> list[_Offer]:
        """Order the offers as they are best tried; as they were planned when their chances are known in that order alone."""
        abilities = [one.attempt.ability for one in offers]
        failed = [context.plan.ability_at(position) for position in context.rejected]
        known = [one for one in (*failed, *abilities) if one is not None]
        if len(known) < len(failed) + len(offers):
            return offers
        table = table_of(known)
        limits = limits_of(
            # A limit holds for each of several answers, and is learned from single ones.
            [
                self._estimators.limits.limits(one.attempt.model) if context.plan.choices == 1 else None
                for one in offers
            ],
            [one.saved_most_seconds for one in offers],
        )
        steps = best_sequence(
            table[len(failed) :],
            weights_after(table, range(len(failed))),
            np.array([one.price_seconds for one in offers]),
            worth_seconds=objective.worth_seconds,
            max_attempts=min(len(offers), context.plan.max_retries + 1 - context.number),
            limits=limits,
        )
        return [offers[step.candidate].within(step, limits[step.candidate]) for step in steps]

    def _offers(
        self,
        places: list[tuple[int, Ints]],
        plan: CarriedPlan,
        snapshot: FleetSnapshot,
        objective: Objective,
        text: TextProfile,
    ) -> list[_Offer]:
        """Put each attempt where it costs least, instances that failed lately last."""
        if not places:
            return []
        attempts = [plan.attempts[position] for position, _ in places]
        rows = np.concatenate([found for _, found in places])
        lengths = [
            self._expected_output_tokens(attempt, plan.output_limit_tokens, text) for attempt in attempts
        ]
        output_tokens = np.repeat(lengths, [len(found) for _, found in places])
        prompt_tokens = float(plan.prompt_tokens or 0)
        latency = self._estimators.latency.predict(
            snapshot, rows, prompt_tokens=prompt_tokens, output_tokens=output_tokens, sequences=plan.choices
        )
        price: Floats = latency.total_seconds + objective.congestion_weight * latency.caused_seconds
        usd = self._forecaster.attempt_usd(
            snapshot,
            rows,
            prompt_tokens=prompt_tokens,
            output_tokens=output_tokens,
            sequences=plan.choices,
        )
        price = price + objective.seconds_per_usd * usd
        ranked_by = price + SUSPECT_PRICE_SECONDS * snapshot.suspect[rows]
        decoding = latency.iteration_seconds * np.maximum(0.0, output_tokens - 1.0)
        saved = decoding * (
            1.0 + objective.congestion_weight * latency.caused_seconds / latency.total_seconds
        )
        saved += objective.seconds_per_usd * self._forecaster.output_usd(
            snapshot, rows, output_tokens=output_tokens, sequences=plan.choices
        )
        offers, start = [], 0
        for (position, found), attempt in zip(places, attempts, strict=True):
            best = start + int(ranked_by[start : start + len(found)].argmin())
            offers.append(
                _Offer(
                    position=position,
                    attempt=replace(attempt, address=snapshot.table.addresses[rows[best]]),
                    price_seconds=float(price[best]),
                    total_seconds=float(latency.total_seconds[best]),
                    saved_most_seconds=min(float(saved[best]), float(price[best])),
                    load=latency.load(best),
                )
            )
            start += len(found)
        return offers

    def _expected_output_tokens(
        self, attempt: CarriedAttempt, clients_limit: int | None, text: TextProfile
    ) -> float:
        # Where an answer is cut is weighed anew where the order is, from the whole answer's length.
        cut = attempt.max_tokens if attempt.ability is None else None
        limits = [limit for limit in (cut, clients_limit) if limit is not None]
        return self._estimators.outputs.expected(attempt.model, text, min(limits, default=None))


def _places(attempt: CarriedAttempt, plan: CarriedPlan, snapshot: FleetSnapshot, *, is_again: bool) -> Ints:
    """Rows where an attempt may be made, the planned one first unless it is draining.

    Others of its model must be in the planned one's pool and hold as many tokens; empty when the planned one is gone, or
    has another model since. An attempt that gave no answer where it was planned is made again where nothing speaks
    against it, else not at all.
    """
    table = snapshot.table
    planned = table.row_by_address.get(attempt.address)
    if planned is None or attempt.model not in ("", table.clusters[planned].model):
        return np.empty(0, dtype=np.int64)
    first = np.array([planned] if snapshot.usable[planned] else [], dtype=np.int64)
    if plan.is_bound:
        return first[:0] if is_again else first
    twins = table.rows_of_models[int(table.model_index[planned])]
    is_fit = (
        (table.pool_index[twins] == table.pool_index[planned])
        & (table.max_model_len[twins] >= table.max_model_len[planned])
        & snapshot.usable[twins]
        & (twins != planned)
    )
    if is_again:
        elsewhere: Ints = twins[is_fit & ~snapshot.suspect[twins]]
        return elsewhere
    return np.concatenate((first, twins[is_fit]))
