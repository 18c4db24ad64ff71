"""What an estimate is worth to a router: accuracy at equal cost against mixing models without looking at the prompt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

PRICES_OF_COST: Final[Floats] = np.append(0.0, np.geomspace(1e-3, 30.0, 100))
"""Accuracy that one unit of cost (the dearest model's) is held to be worth, from nothing to prohibitive."""

_STEPS: Final = 101


@dataclass(frozen=True, slots=True)
class RoutingValue:
    """Figures of one router on one set of prompts, all in shares of 1.

    Attributes:
        value: Mean over costs of its accuracy less that of the best mixture of models, chosen with hindsight. Costs
            run from the cheapest model's to that of the best model worth paying for.
        area: Mean over costs of its accuracy: the area under the cost-quality curve.
        over_uniform: Its accuracy less that of picking a model uniformly at random, at the same mean cost.
        at_best: Its accuracy at the cost of the single most accurate model, less that model's.
    """

    value: float
    area: float
    over_uniform: float
    at_best: float


def choices(chances: Floats, costs: Floats) -> npt.NDArray[np.int64]:
    """The model chosen for each prompt at each price of cost, shape (prices, prompts); the cheaper one on a tie."""
    order = np.argsort(costs, kind="stable")
    ranked, relative = chances[:, order], costs[order] / costs.max()
    return np.stack([order[(ranked - price * relative).argmax(axis=1)] for price in PRICES_OF_COST])


def routing_value(chosen: npt.NDArray[np.int64], costs: Floats, outcomes: Floats) -> RoutingValue:
    """Hold the choices of a router against mixtures of the models on the prompts they were made for."""
    return routing_values(chosen, costs, outcomes, np.ones((len(outcomes), 1)))[0]


def routing_values(
    chosen: npt.NDArray[np.int64], costs: Floats, outcomes: Floats, weights: Floats
) -> list[RoutingValue]:
    """Do the same for prompts that count more than once, or not at all.

    Args:
        chosen: As `choices` gives it, shape (prices, prompts).
        costs: Of each model, shape (models,).
        outcomes: 0 or 1, shape (prompts, models).
        weights: How often each prompt counts, shape (prompts, samples); each sample has one that does.

    Returns:
        One for each sample.
    """
    relative = costs / costs.max()
    total = weights.sum(axis=0)
    accuracy = outcomes[np.arange(len(outcomes)), chosen] @ weights / total
    cost = relative[chosen] @ weights / total
    single = outcomes.T @ weights / total
    return [
        _value(relative, accuracy[:, sample], cost[:, sample], single[:, sample])
        for sample in range(weights.shape[1])
    ]


def _value(relative: Floats, accuracy: Floats, cost: Floats, single: Floats) -> RoutingValue:
    """From operating points and each single model's accuracy."""
    mixture = _hull(relative, single)
    grid = np.linspace(relative.min(), mixture[-1, 0], _STEPS)
    routed = _at(grid, cost, accuracy)
    mixed = np.interp(grid, mixture[:, 0], mixture[:, 1])
    best = int(single.argmax())
    return RoutingValue(
        value=float((routed - mixed).mean()),
        area=float(routed.mean()),
        over_uniform=float(_at(np.array([relative.mean()]), cost, accuracy)[0] - single.mean()),
        at_best=float(_at(np.array([relative[best]]), cost, accuracy)[0] - single[best]),
    )


def _at(grid: Floats, cost: Floats, accuracy: Floats) -> Floats:
    """Accuracy at costs between operating points, by mixing the two neighbours."""
    order = np.lexsort((accuracy, cost))
    return np.interp(grid, cost[order], accuracy[order])


def _hull(costs: Floats, accuracies: Floats) -> Floats:
    """Upper concave hull of single models' points, ascending in cost and in accuracy."""
    hull: list[tuple[float, float]] = []
    for cost, accuracy in sorted(zip(costs.tolist(), accuracies.tolist(), strict=True)):
        if hull and accuracy <= hull[-1][1]:
            continue
        if hull and hull[-1][0] == cost:
            hull.pop()
        while len(hull) > 1 and _slope(hull[-2], hull[-1]) <= _slope(hull[-2], (cost, accuracy)):
            hull.pop()
        hull.append((cost, accuracy))
    return np.array(hull)


def _slope(start: tuple[float, float], end: tuple[float, float]) -> float:
    return (end[1] - start[1]) / (end[0] - start[0])
