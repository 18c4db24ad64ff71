"""The reference plan: attempts as long as they are worth it, with chances conditional on the failures so far.

With F(S) = P(every model of the set S fails on the question), the value of going on after the models of S have failed is

    J(S) = max(0, max over m outside S of  V·(F(S) - F(S+m)) - c_m·F(S) + J(S+m))

(unnormalised: everything is weighted with F(S)). V is what a correct answer is worth, in seconds; c_m is the least
price of an attempt by model m: its own time plus k times the delay that it causes others. The rule is a backward
induction over at most 2^M sets, M being the number of models; F depends on the question alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from extproc.fleet.snapshot import FleetSnapshot, Floats
from loadgen.virtual.policy import Asked, Forecast, HasChances, failed_mask


class Order(StrEnum):
    """Which of the worthwhile models comes next."""

    VALUE = "value"
    """The one with the best J."""
    SOCIAL_RATIO = "social_ratio"
    """The least c/p."""
    OWN_RATIO = "own_ratio"
    """The least L/p."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRule:
    """The parts of the rule, each of which can be taken out.

    Attributes:
        worth_seconds: V, what a correct answer is worth.
        caused_weight: k, weight of the delay that an attempt causes others; 0 prices the own time alone.
        lookahead: Attempts that are weighed together, at least 1.
        order: Which of the worthwhile models comes next.
    """

    worth_seconds: float
    caused_weight: float = 1.0
    lookahead: int = 16
    order: Order = Order.VALUE


class AttemptPlan:
    """Decides each attempt anew, at the load of that moment.

    Args:
        forecast: Latencies.
        knowledge: Chances.
        rule: What is weighed.
    """

    def __init__(self, forecast: Forecast, knowledge: HasChances, rule: PlanRule) -> None:
        self._forecast = forecast
        self._knowledge = knowledge
        self._rule = rule
        self._all_fail: dict[str, list[float]] = {}

    def choose(self, asked: Asked, snapshot: FleetSnapshot) -> int | None:
        """Row of the next attempt; None when none is worth its price."""
        key = asked.question.key
        all_fail = self._all_fail.get(key)
        if all_fail is None:
            all_fail = self._all_fail[key] = self._knowledge.chances(asked.question).all_fail()
        failed = failed_mask(asked.failed, snapshot.table.models)
        if all_fail[failed] <= 1e-12:
            return None
        predicted = self._forecast.predict(asked.question, snapshot)
        price = predicted.own_seconds + self._rule.caused_weight * predicted.caused_seconds
        rows = [int(found[np.argmin(price[found])]) for found in self._forecast.rows_by_model]
        prices = [float(price[row]) for row in rows]
        if self._rule.order is Order.VALUE:
            model = next_by_value(all_fail, prices, failed, self._rule)
        else:
            by: Floats = predicted.own_seconds if self._rule.order is Order.OWN_RATIO else price
            model = _next_by_ratio(all_fail, prices, [float(by[row]) for row in rows], failed, self._rule)
        return None if model is None else rows[model]


def next_by_value(all_fail: list[float], prices: list[float], failed: int, rule: PlanRule) -> int | None:
    """The model with the best value of going on; None when stopping is best.

    Args:
        all_fail: P(every model of a set fails) by set.
        prices: Price of an attempt by model, seconds.
        failed: Models that have failed, as bits.
        rule: What is weighed.
    """
    return _Induction(all_fail, prices, rule.worth_seconds).best(failed, rule.lookahead)[1]


class _Induction:
    """J of one decision; every set is weighed once."""

    def __init__(self, all_fail: list[float], prices: list[float], worth_seconds: float) -> None:
        self._all_fail = all_fail
        self._prices = prices
        self._worth = worth_seconds
        self._known: dict[tuple[int, int], tuple[float, int | None]] = {}

    def best(self, failed: int, depth: int) -> tuple[float, int | None]:
        """J of a set, with `depth` attempts left, and the model that has it."""
        found = self._known.get((failed, depth))
        if found is not None:
            return found
        best: tuple[float, int | None] = (0.0, None)
        reached = self._all_fail[failed]
        for model, price in enumerate(self._prices):
            if failed >> model & 1:
                continue
            after = failed | 1 << model
            value = self._worth * (reached - self._all_fail[after]) - price * reached
            if depth > 1:
                value += self.best(after, depth - 1)[0]
            if value > best[0]:
                best = (value, model)
        self._known[failed, depth] = best
        return best


def _next_by_ratio(
    all_fail: list[float], prices: list[float], by: list[float], failed: int, rule: PlanRule
) -> int | None:
    """The least `by` over chance among the models whose own chance is worth their price."""
    chances = {
        model: 1.0 - all_fail[failed | 1 << model] / all_fail[failed]
        for model in range(len(prices))
        if not failed >> model & 1
    }
    worthwhile = [model for model, chance in chances.items() if chance * rule.worth_seconds > prices[model]]
    return min(worthwhile, key=lambda model: by[model] / chances[model], default=None)
