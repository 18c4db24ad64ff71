"""The planners that weigh quality: the sequence that promises most, and the published rules it is held against.

All of them name rows of the fleet table in the order of their attempts; `planner` makes a plan of that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from extproc.decide.sequence import Limits, Step, best_sequence
from extproc.estimate.answer_limits import AnswerLimits
from extproc.estimate.predictions import Predictions
from extproc.fleet.snapshot import FleetSnapshot, Floats, Ints
from extproc.sessions.book import SessionHistory

SUSPECT_PRICE_SECONDS = 1e6
"""Added to the price of an instance that failed lately: the last resort."""

SOFT_PENALTY = 10.0
"""LAAR's factor on the cost of a model that has failed on this request; its paper names none."""


_BOTH = 2
"""Attempts of a first model and of the one that follows it."""

MOST_STAND_INS = 16
"""Stand-ins that a ranking names: more than the fleet file allows attempts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """What the operator weighs, all in seconds.

    Attributes:
        worth_seconds: What a correct answer is worth.
        congestion_weight: Weight of the delay caused to others.
        seconds_per_usd: What a dollar is worth.
    """

    worth_seconds: float
    congestion_weight: float
    seconds_per_usd: float


DEFAULT_OBJECTIVE = Objective(worth_seconds=60.0, congestion_weight=1.0, seconds_per_usd=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """Attempts in order.

    Attributes:
        positions: Positions into `Predictions.rows`; at least one, none twice.
        steps: What was expected of the first of them; the rest are stand-ins when an instance fails.
        reason: The rule, in a word or two.
        second_instance: Of the first one's model, where that is the better next try than the second one when the first
            gives no answer; None otherwise.
    """

    positions: tuple[int, ...]
    steps: tuple[Step, ...]
    reason: str
    second_instance: int | None = None


def price_seconds(predictions: Predictions, snapshot: FleetSnapshot, objective: Objective) -> Floats:
    """Price of one attempt on each candidate: own time, the delay caused to others, and money."""
    latency = predictions.latency
    result: Floats = (
        latency.total_seconds
        + objective.congestion_weight * latency.caused_seconds
        + objective.seconds_per_usd * predictions.usd
        + SUSPECT_PRICE_SECONDS * snapshot.suspect[predictions.rows]
    )
    return result


def rank_first_correct(
    predictions: Predictions,
    snapshot: FleetSnapshot,
    objective: Objective,
    *,
    horizon: int,
    may_cut: bool = False,
) -> Ranking:
    """The sequence of models with the largest utility, each on its cheapest instance, then stand-ins of the first model.

    Args:
        predictions: Figures by candidate.
        snapshot: The fleet's load.
        objective: What is weighed.
        horizon: Attempts that may still be made, in this plan or by a client who asks again; 1 when nobody judges.
        may_cut: True when the gateway makes the attempts itself, so that an answer that was cut is followed by the next.
    """
    price = price_seconds(predictions, snapshot, objective)
    best = _cheapest_of_each_model(predictions, price)
    steps = best_sequence(
        predictions.chances,
        predictions.weights,
        price[best],
        worth_seconds=objective.worth_seconds,
        max_attempts=horizon,
        limits=_limits(predictions, best, price, objective) if may_cut else (),
    )
    chosen = [int(best[step.candidate]) for step in steps]
    twins = predictions.positions_of(int(predictions.model[chosen[0]]))
    stand_ins = twins[twins != chosen[0]]
    order = stand_ins[_least(price[stand_ins], MOST_STAND_INS)].tolist()
    return Ranking(
        positions=(*chosen, *order),
        steps=steps,
        reason="utility",
        second_instance=_second_instance(
            predictions, price, chosen, order, worth_seconds=objective.worth_seconds, horizon=horizon
        ),
    )


def _second_instance(
    predictions: Predictions,
    price: Floats,
    chosen: list[int],
    stand_ins: list[int],
    *,
    worth_seconds: float,
    horizon: int,
) -> int | None:
    """The first model's next best instance, where it is a better next attempt than the second model.

    No answer says nothing of any model, so that the chances are those from before the first attempt. Of two attempts that
    one may follow the other, the sequence is worth more that begins with the lower price for a chance; of two that are the
    last, the one that is worth more itself.
    """
    if len(chosen) < _BOTH or not stand_ins:
        return None
    first, second = predictions.model[chosen[0]], predictions.model[chosen[1]]
    own_chance = float(predictions.chances[first] @ predictions.weights)
    other_chance = float(predictions.chances[second] @ predictions.weights)
    twin = stand_ins[0]
    own_price, other_price = float(price[twin]), float(price[chosen[1]])
    if horizon > _BOTH:
        is_better = own_price * other_chance <= other_price * own_chance
    else:
        is_better = worth_seconds * (own_chance - other_chance) >= own_price - other_price
    return twin if is_better else None


def _cheapest_of_each_model(predictions: Predictions, price: Floats) -> Ints:
    """Position of each model's cheapest candidate, the first of equals, shape (models,)."""
    found = np.empty(len(predictions.names), dtype=np.int64)
    for model in range(len(found)):
        positions = predictions.positions_of(model)
        found[model] = positions[price[positions].argmin()]
    return found


def _least(values: Floats, count: int) -> Ints:
    """Positions of the `count` least values, ascending, the first of equals first."""
    if len(values) <= 4 * count:
        return values.argsort(kind="stable")[:count]
    candidates = (values <= np.partition(values, count - 1)[count - 1]).nonzero()[0]
    found: Ints = candidates[values[candidates].argsort(kind="stable")[:count]]
    return found


def _limits(
    predictions: Predictions, positions: Ints, price: Floats, objective: Objective
) -> list[Limits | None]:
    """What the answers of some candidates may be cut at, and what that saves of their price; empty for none of them."""
    models = predictions.model[positions].tolist()
    if all(predictions.limits[model] is None for model in models):
        return []
    latency = predictions.latency
    tokens, total = predictions.output_tokens[positions], latency.total_seconds[positions]
    decoding = latency.iteration_seconds[positions] * np.maximum(0.0, tokens - 1.0)
    with_others = 1.0 + objective.congestion_weight * latency.caused_seconds[positions] / total
    by_output = decoding * with_others + objective.seconds_per_usd * predictions.output_usd[positions]
    most = np.minimum(by_output, price[positions]).tolist()
    return limits_of([predictions.limits[model] for model in models], most)


def limits_of(
    known: Sequence[AnswerLimits | None], most_saved_seconds: Sequence[float]
) -> list[Limits | None]:
    """What the answers of some candidates may be cut at, given what no answer at all would save of each one's price."""
    return [
        None if one is None else Limits(one.cuts, one.right_within_cuts, one.saved_by_cuts * most)
        for one, most in zip(known, most_saved_seconds, strict=True)
    ]


def rank_laar(predictions: Predictions, snapshot: FleetSnapshot, *, penalty: float) -> Ranking:
    """LAAR (arXiv 2604.15732): the least latency over chance, models that have failed on this request penalised.

    Args:
        predictions: Figures by candidate, chances not conditioned on failures.
        snapshot: The fleet's load.
        penalty: Factor on the cost of a failed model; infinite excludes it while another one is left.
    """
    has_failed = np.array([name in predictions.failed for name in predictions.names])[predictions.model]
    factor = penalty if np.isfinite(penalty) or has_failed.all() else 1e9
    cost = predictions.latency.total_seconds / np.maximum(predictions.chance, 1e-6)
    cost = (
        np.where(has_failed, cost * min(factor, 1e9), cost)
        + SUSPECT_PRICE_SECONDS * snapshot.suspect[predictions.rows]
    )
    return same_model_first(predictions, np.argsort(cost, kind="stable"), "laar")


def rank_load_aware(predictions: Predictions, snapshot: FleetSnapshot) -> Ranking:
    """The least predicted latency, whatever the model."""
    return same_model_first(predictions, _by_latency(predictions, snapshot), "load_aware")


def rank_session_affinity(
    predictions: Predictions, snapshot: FleetSnapshot, history: SessionHistory | None
) -> Ranking:
    """Whoever gave the session's last answer; the least latency for a session's first request."""
    order = _by_latency(predictions, snapshot)
    last = snapshot.table.row_by_address.get(history.last_address or "") if history else None
    if last is not None and not snapshot.suspect[last]:
        is_last = predictions.rows[order] == last
        order = np.concatenate((order[is_last], order[~is_last]))
    return same_model_first(predictions, order, "session_affinity")


def _by_latency(predictions: Predictions, snapshot: FleetSnapshot) -> Ints:
    cost = predictions.latency.total_seconds + SUSPECT_PRICE_SECONDS * snapshot.suspect[predictions.rows]
    return np.argsort(cost, kind="stable")


def same_model_first(predictions: Predictions, order: Sequence[int] | Ints, reason: str) -> Ranking:
    """One attempt, the first of an order over all candidates; stand-ins serve the same model, since the body names one."""
    positions = np.asarray(order)
    first = int(positions[0])
    chance = float((predictions.chances @ predictions.weights)[predictions.model[first]])
    twins = positions[predictions.model[positions] == predictions.model[first]]
    return Ranking(
        positions=tuple(twins[: MOST_STAND_INS + 1].tolist()),
        steps=(Step(candidate=first, chance=chance, is_worth_it=True),),
        reason=reason,
    )
