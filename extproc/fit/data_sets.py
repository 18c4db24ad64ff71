"""Routing value on each data set: the mean over the fleets that it has outcomes of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from extproc.fit.metrics import as_json, interval
from extproc.fit.trials import ESTIMATORS, OURS, PART_OF_OURS

Floats = npt.NDArray[np.float64]
Judged = Mapping[str, Any]

BASELINES: Final = tuple(name for name in ESTIMATORS if name not in (OURS, PART_OF_OURS))


def by_data_set(judged: Sequence[Judged], again: Sequence[Sequence[Judged]]) -> list[dict[str, Any]]:
    """Hold ours against every other estimator on each data set.

    Args:
        judged: What `judge` said of each trial inside.
        again: The same with the questions parted in other ways; lists in the same order.

    Returns:
        For each data set, in the order in which they come first: `data`, `fleets` (how many), `values` (of each estimator),
        `best` (the baseline with the greatest value here), `ahead` (ours less each other estimator, with intervals) and
        `ahead_again` (the same figures without intervals, a list over the other ways, for each estimator).
    """
    result: list[dict[str, Any]] = []
    for data in dict.fromkeys(each["data"] for each in judged):
        draws = _draws(judged, data)
        others = [_draws(split, data) for split in again]
        ahead = {name: as_json(interval(draws[OURS] - draws[name])) for name in ESTIMATORS if name != OURS}
        result.append(
            {
                "data": data,
                "fleets": sum(each["data"] == data for each in judged),
                "values": {name: round(float(found[0]), 6) for name, found in draws.items()},
                "best": max(BASELINES, key=lambda name: draws[name][0]),
                "ahead": ahead,
                "ahead_again": {
                    name: [round(float(split[OURS][0] - split[name][0]), 6) for split in others]
                    for name in ahead
                },
            }
        )
    return result


def _draws(judged: Sequence[Judged], data: str) -> dict[str, Floats]:
    """Means over the fleets: as measured, then one per bootstrap sample, which has the same questions for every fleet."""
    draws = [each["value_draws"] for each in judged if each["data"] == data]
    return {name: np.mean([each[name] for each in draws], axis=0) for name in ESTIMATORS}
