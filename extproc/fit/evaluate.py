"""Holds the ladder of quality estimators against published outcomes; the result is JSON-able."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from extproc.fit.metrics import (
    as_json,
    brier_scores,
    calibration,
    calibration_error,
    chances,
    draw_weights,
    interval,
    log_losses,
    mean_auc,
)
from extproc.fit.routing import RoutingValue, choices, routing_value, routing_values
from extproc.fit.trials import ESTIMATORS, OURS, Trial

Floats = npt.NDArray[np.float64]

SAMPLES: Final = 200
"""Bootstrap samples."""

_LEAST_PROMPTS = 30


def judge(trial: Trial, seed: int, samples: int = SAMPLES) -> dict[str, object]:
    """Every figure of every estimator on one trial; routing values are means over parts when parts are data sets.

    `value_draws` has the routing values themselves: as measured, then one per bootstrap sample, the same samples for all.
    """
    weights = draw_weights(len(trial.outcomes), samples, seed)
    chosen = {name: choices(chances(odds), trial.costs) for name, odds in trial.log_odds.items()}
    routed = {name: _routed(trial, chosen[name], weights) for name in chosen}
    draws = {name: np.array([each.value for each in found]) for name, found in routed.items()}
    rows: dict[str, object] = {}
    for name, odds in trial.log_odds.items():
        whole = routed[name][0]
        rows[name] = {
            "log_loss": _mean(log_losses(odds, trial.outcomes), weights),
            "brier": _mean(brier_scores(odds, trial.outcomes), weights),
            "auc": round(mean_auc(odds, trial.outcomes), 4),
            "ece": round(calibration_error(calibration(chances(odds).ravel(), trial.outcomes.ravel())), 4),
            "joint_independent": _mean(trial.joint(name, coupled=False), weights),
            "joint_coupled": _mean(trial.joint(name, coupled=True), weights),
            "value": as_json(interval(draws[name])),
            "ahead": as_json(interval(draws[OURS] - draws[name])),
            "area": round(whole.area, 4),
            "over_uniform": round(whole.over_uniform, 4),
            "at_best": round(whole.at_best, 4),
        }
    return {
        "fleet": trial.fleet,
        "data": trial.data,
        "questions": len(trial.outcomes),
        "models": trial.outcomes.shape[1],
        "parts": list(trial.part_names),
        "slopes": np.round(trial.slopes[OURS].mean(axis=0), 3).tolist(),
        "estimators": rows,
        "best_rival": max((name for name in ESTIMATORS if name != OURS), key=lambda name: draws[name][0]),
        "value_draws": {name: np.round(found, 6).tolist() for name, found in draws.items()},
        "by_part": _by_part(trial, chosen),
    }


def _groups(trial: Trial) -> Sequence[npt.NDArray[np.bool_]]:
    """One group of all rows when parts are folds; one per data set or task otherwise."""
    if trial.part_names[0].startswith("fold "):
        return [np.ones(len(trial.outcomes), dtype=bool)]
    return [trial.parts == part for part in range(len(trial.part_names))]


def _routed(trial: Trial, chosen: npt.NDArray[np.int64], weights: Floats) -> list[RoutingValue]:
    """Means over the groups, for each sample; a group that a sample has nothing of is left out of that one."""
    total = np.zeros((weights.shape[1], len(fields(RoutingValue))))
    count = np.zeros((weights.shape[1], 1))
    for rows in _groups(trial):
        drawn = weights[rows].sum(axis=0) > 0
        found = routing_values(chosen[:, rows], trial.costs, trial.outcomes[rows], weights[rows][:, drawn])
        total[drawn] += np.array([list(asdict(each).values()) for each in found])
        count[drawn] += 1.0
    return [RoutingValue(*means) for means in (total / count).tolist()]


def _mean(values: Floats, weights: Floats) -> dict[str, float]:
    return as_json(interval(values @ weights / weights.sum(axis=0)))


def _by_part(
    trial: Trial, chosen: dict[str, npt.NDArray[np.int64]]
) -> dict[str, dict[str, dict[str, float]]]:
    """Routing value and lead over a random pick, of each estimator on each data set or task that was left out."""
    groups = _groups(trial)
    if len(groups) == 1:
        return {}
    result: dict[str, dict[str, dict[str, float]]] = {}
    for part, rows in zip(trial.part_names, groups, strict=True):
        if rows.sum() < _LEAST_PROMPTS:
            continue
        result[part] = {}
        for name in trial.log_odds:
            found = routing_value(chosen[name][:, rows], trial.costs, trial.outcomes[rows])
            result[part][name] = {
                "value": round(found.value, 4),
                "over_uniform": round(found.over_uniform, 4),
            }
    return result


def calibration_after_failures(trials: Sequence[Trial]) -> dict[str, object]:
    """Predicted against observed, before and after failures, with the coupling and with independence."""
    result: dict[str, object] = {}
    for failures in (0, 1, 2):
        for label, coupled in (("coupled", True), ("independent", False)):
            if failures == 0 and not coupled:
                continue
            pairs = [trial.after_failures(OURS, failures, coupled=coupled) for trial in trials]
            bins = calibration(
                np.concatenate([said for said, _ in pairs]), np.concatenate([right for _, right in pairs])
            )
            result[f"after {failures}, {label}"] = {
                "error": round(calibration_error(bins), 4),
                "bins": [
                    {
                        "predicted": round(each.predicted, 4),
                        "observed": round(each.observed, 4),
                        "count": each.count,
                    }
                    for each in bins
                ],
            }
    return result


def average_value(
    judged: Sequence[dict[str, object]], among: Callable[[dict[str, object]], bool]
) -> dict[str, float]:
    """Routing value of each estimator, averaged over all data sets and tasks that were left out."""
    collected: dict[str, list[float]] = {name: [] for name in ESTIMATORS}
    for each in judged:
        if among(each):
            parts: dict[str, dict[str, dict[str, float]]] = each["by_part"]  # type: ignore[assignment]
            for figures in parts.values():
                for name, figure in figures.items():
                    collected[name].append(figure["value"])
    return {name: round(float(np.mean(values)), 4) for name, values in collected.items() if values}


def mean_ahead(
    judged: Sequence[Mapping[str, Any]], *, by_hindsight: bool = False
) -> dict[str, dict[str, float]]:
    """How far ours is ahead of each other estimator, averaged over trials, with intervals.

    Args:
        judged: What `judge` said of each trial.
        by_hindsight: True to hold ours against the best other of each trial, picked after the fact, instead.
    """
    draws = [each["value_draws"] for each in judged]
    names = [name for name in ESTIMATORS if name != OURS]
    best = [each["best_rival"] for each in judged]
    chosen = {"best of each": best} if by_hindsight else {name: [name] * len(draws) for name in names}
    return {
        name: as_json(
            interval(
                np.mean(
                    [
                        np.array(each[OURS]) - np.array(each[rival])
                        for each, rival in zip(draws, rivals, strict=True)
                    ],
                    axis=0,
                )
            )
        )
        for name, rivals in chosen.items()
    }
