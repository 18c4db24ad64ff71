"""One trial: every estimator fitted to a part of a table and asked about the rest, until all rows were asked about."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Final

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from extproc.estimate.quality.coupling import WEIGHTS, tabulate
from extproc.fit.fitting import FitSettings
from extproc.fit.fleets import FleetOfModels
from extproc.fit.published import load
from extproc.fit.rivals import Estimator, LengthAndLanguage, LinearWords, Neighbours, Ours, PriorOnly
from extproc.fit.slopes import fit_slopes, joint_log_likelihood
from extproc.fit.table import OutcomeTable, stacked

Floats = npt.NDArray[np.float64]
Parts = npt.NDArray[np.int64]

OURS: Final = "this service"
NEIGHBOURS: Final = "k-NN (RouteBalance's form)"
PART_OF_OURS: Final = "numbers, shared"
"""This service's fit without words: it tells what these add, and is no baseline."""

ESTIMATORS: Final[Mapping[str, Callable[[], Estimator]]] = MappingProxyType({
    "prior only": PriorOnly,
    "length and language (LAAR)": LengthAndLanguage,
    NEIGHBOURS: Neighbours,
    "words, linear": LinearWords,
    PART_OF_OURS: lambda: Ours(FitSettings(use_words=False)),
    OURS: lambda: Ours(FitSettings()),
})  # fmt: skip

FOLDS: Final = 5


@dataclass(frozen=True, slots=True)
class Trial:
    """What the estimators said of prompts that they had not seen.

    Attributes:
        fleet: Name of the fleet.
        data: Name of the data.
        costs: Of each model, shape (models,).
        outcomes: 0 or 1, shape (prompts, models).
        parts: The part of each row, shape (prompts,).
        part_names: Name of each part.
        log_odds: By estimator, shape (prompts, models).
        slopes: By estimator, shape (parts, models): fitted to what it said of all other parts.
    """

    fleet: str
    data: str
    costs: Floats
    outcomes: Floats
    parts: Parts
    part_names: tuple[str, ...]
    log_odds: Mapping[str, Floats]
    slopes: Mapping[str, Floats]

    def joint(self, estimator: str, *, coupled: bool) -> Floats:
        """Log likelihood of each prompt's outcomes over all models, in nats."""
        result = np.empty(len(self.outcomes))
        for part in range(len(self.part_names)):
            rows = self.parts == part
            slopes = self.slopes[estimator][part] * (1.0 if coupled else 0.0)
            result[rows] = joint_log_likelihood(self.log_odds[estimator][rows], slopes, self.outcomes[rows])
        return result

    def after_failures(self, estimator: str, failures: int, *, coupled: bool) -> tuple[Floats, Floats]:
        """Chances of every model once `failures` others have failed, and whether it was then right.

        One entry for every prompt, model, and set of other models that really failed on the prompt.
        """
        said: list[Floats] = []
        right: list[Floats] = []
        models = self.outcomes.shape[1]
        table = self._tables(estimator, coupled=coupled)
        for model in range(models):
            for failed in _subsets([other for other in range(models) if other != model], failures):
                rows = (self.outcomes[:, failed] == 0.0).all(axis=1)
                weights = WEIGHTS * np.prod(1.0 - table[rows][:, failed], axis=1)
                weights /= weights.sum(axis=1, keepdims=True)
                said.append((weights * table[rows, model]).sum(axis=1))
                right.append(self.outcomes[rows, model])
        return np.concatenate(said or [np.zeros(0)]), np.concatenate(right or [np.zeros(0)])

    def _tables(self, estimator: str, *, coupled: bool) -> Floats:
        """Chances at every node, shape (prompts, models, nodes)."""
        odds = self.log_odds[estimator]
        slopes = self.slopes[estimator][self.parts] * (1.0 if coupled else 0.0)
        return tabulate(odds.ravel(), slopes.ravel()).reshape(*odds.shape, -1)


def _subsets(items: list[int], size: int) -> list[list[int]]:
    if size == 0:
        return [[]]
    return [
        [item, *rest] for index, item in enumerate(items) for rest in _subsets(items[index + 1 :], size - 1)
    ]


def inside(fleet: FleetOfModels, data: str, folder: Path, split: int = 0) -> Trial:
    """Five parts by question: the rest is like what was fitted.

    Args:
        fleet: Models.
        data: Set that has outcomes of all of them.
        folder: Published data.
        split: Another number parts the questions in another way.
    """
    table = load(data, folder).fleet(tuple(fleet.costs))
    names = tuple(f"fold {fold}" for fold in range(FOLDS))
    return run(fleet, table, data, table.folds(FOLDS, split), names)


def across(fleet: FleetOfModels, folder: Path) -> Trial:
    """One whole data set, or one whole task, at a time: the rest is unlike what was fitted."""
    tables = [load(data, folder).fleet(tuple(fleet.costs)) for data in fleet.across]
    if not fleet.by_group:
        tables = [replace(each, groups=(each.name,) * len(each.prompts)) for each in tables]
    table = stacked(tables, " + ".join(fleet.across))
    names = tuple(sorted(set(table.groups)))
    parts = np.array([names.index(group) for group in table.groups])
    return run(fleet, table, table.name, parts, names)


def run(
    fleet: FleetOfModels,
    table: OutcomeTable,
    data: str,
    parts: Parts,
    names: tuple[str, ...],
) -> Trial:
    """Fit every estimator to all parts but one, and ask it about that one, for each part in turn."""
    odds = {name: np.empty_like(table.outcomes) for name in ESTIMATORS}
    with threadpool_limits(limits=1):
        for part in range(len(names)):
            rest, asked = table.rows(parts != part), table.rows(parts == part)
            for name, make in ESTIMATORS.items():
                estimator = make()
                estimator.fit(rest)
                odds[name][parts == part] = estimator.log_odds(asked.prompts)
        slopes = {
            name: np.array(
                [
                    fit_slopes(said[parts != part], table.outcomes[parts != part])[:-1]
                    for part in range(len(names))
                ]
            )
            for name, said in odds.items()
        }
    return Trial(
        fleet=fleet.name,
        data=data,
        costs=np.array(list(fleet.costs.values())),
        outcomes=table.outcomes,
        parts=parts,
        part_names=names,
        log_odds=odds,
        slopes=slopes,
    )
