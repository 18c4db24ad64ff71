"""Holds the ladder of quality estimators against published outcomes; the result is JSON-able."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from typing import Final

import numpy as np
import numpy.typing as npt

from extproc.fit.metrics import (
    Interval,
    as_json,
    bootstrap,
    brier_scores,
    calibration,
    calibration_error,
    chances,
    log_losses,
    mean_auc,
)
from extproc.fit.routing import RoutingValue, choices, routing_value
from extproc.fit.trials import ESTIMATORS, OURS, Trial

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

SAMPLES: Final = 200
"""Bootstrap samples."""

_LEAST_PROMPTS = 30


def judge(trial: Trial, seed: int, samples: int = SAMPLES) -> dict[str, object]:
    """Every figure of every estimator on one trial; routing values are means over parts when parts are data sets."""
    questions = len(trial.outcomes)
    chosen = {name: choices(chances(odds), trial.costs) for name, odds in trial.log_odds.items()}
    groups = _groups(trial)

    def value(name: str, rows: Rows) -> float:
        return _routing(trial, chosen[name], groups, rows).value

    rows: dict[str, object] = {}
    for name, odds in trial.log_odds.items():
        routed = _routing(trial, chosen[name], groups, np.arange(questions))
        rows[name] = {
            "log_loss": as_json(_mean(log_losses(odds, trial.outcomes), samples, seed)),
            "brier": as_json(_mean(brier_scores(odds, trial.outcomes), samples, seed)),
            "auc": round(mean_auc(odds, trial.outcomes), 4),
            "ece": round(calibration_error(calibration(chances(odds).ravel(), trial.outcomes.ravel())), 4),
            "joint_independent": as_json(_mean(trial.joint(name, coupled=False), samples, seed)),
            "joint_coupled": as_json(_mean(trial.joint(name, coupled=True), samples, seed)),
            "value": as_json(bootstrap(partial(value, name), questions, samples, seed)),
            "area": round(routed.area, 4),
            "over_uniform": round(routed.over_uniform, 4),
            "at_best": round(routed.at_best, 4),
        }
    best = max(
        (name for name in ESTIMATORS if name != OURS), key=lambda name: value(name, np.arange(questions))
    )
    ahead = bootstrap(lambda drawn: value(OURS, drawn) - value(best, drawn), questions, samples, seed)
    return {
        "fleet": trial.fleet,
        "data": trial.data,
        "questions": questions,
        "models": trial.outcomes.shape[1],
        "parts": list(trial.part_names),
        "slopes": np.round(trial.slopes[OURS].mean(axis=0), 3).tolist(),
        "estimators": rows,
        "best_rival": best,
        "ahead_of_best_rival": as_json(ahead),
        "by_part": _by_part(trial, chosen),
    }


def _groups(trial: Trial) -> Sequence[npt.NDArray[np.bool_]]:
    """One group of all rows when parts are folds; one per data set or task otherwise."""
    if trial.part_names[0].startswith("fold "):
        return [np.ones(len(trial.outcomes), dtype=bool)]
    return [trial.parts == part for part in range(len(trial.part_names))]


def _routing(
    trial: Trial, chosen: npt.NDArray[np.int64], groups: Sequence[npt.NDArray[np.bool_]], rows: Rows
) -> RoutingValue:
    found = []
    for group in groups:
        drawn = rows[group[rows]]
        if len(drawn):
            found.append(routing_value(chosen[:, drawn], trial.costs, trial.outcomes[drawn]))
    return RoutingValue(*np.mean([list(asdict(each).values()) for each in found], axis=0).tolist())


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


def _mean(values: Floats, samples: int, seed: int) -> Interval:
    return bootstrap(lambda drawn: float(values[drawn].mean()), len(values), samples, seed)


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
