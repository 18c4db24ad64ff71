"""How chances fall with the length of a prompt: retrieval from long contexts, where length is all that is known."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from extproc.fit.fitting import FitSettings
from extproc.fit.metrics import chances, mean_auc
from extproc.fit.mixing import log_loss
from extproc.fit.published import load
from extproc.fit.rivals import Estimator, LengthAndLanguage, Ours, PriorOnly
from extproc.fit.table import OutcomeTable

Floats = npt.NDArray[np.float64]

SETS: Final = ("longchat", "babilong")

_FOLDS: Final = 5
_MOST_ROWS: Final = 6_000


def judge_lengths(folder: Path, seed: int) -> list[dict[str, object]]:
    """Log loss and area under the ROC curve on questions held out, and chances by length, for each model."""
    rows: list[dict[str, object]] = []
    for name in SETS:
        table = _thinned(load(name, folder), seed)
        folds = table.folds(_FOLDS)
        said: dict[str, Floats] = {}
        estimators: dict[str, Estimator] = {
            "prior only": PriorOnly(),
            "length and language (LAAR)": LengthAndLanguage(),
            "this service": Ours(FitSettings(use_words=False)),
        }
        for label, estimator in estimators.items():
            odds = np.empty_like(table.outcomes)
            for fold in range(_FOLDS):
                estimator.fit(table.rows(folds != fold))
                odds[folds == fold] = estimator.log_odds(table.rows(folds == fold).prompts)
            said[label] = odds
        rows.append(
            {
                "data": name,
                "questions": len(table.prompts),
                "models": list(table.models),
                "estimators": {
                    label: {
                        "log_loss": round(log_loss(odds, table.outcomes), 4),
                        "auc": round(mean_auc(odds, table.outcomes), 4),
                    }
                    for label, odds in said.items()
                },
                "by_length": _by_length(table, said["this service"]),
            }
        )
    return rows


def _thinned(table: OutcomeTable, seed: int) -> OutcomeTable:
    """The rows that every model answered, at most `_MOST_ROWS` of them."""
    whole = table.fleet(table.models)
    count = len(whole.prompts)
    if count <= _MOST_ROWS:
        return whole
    keep = np.zeros(count, dtype=bool)
    keep[np.random.default_rng(seed).choice(count, _MOST_ROWS, replace=False)] = True
    return whole.rows(keep)


def _by_length(table: OutcomeTable, odds: Floats) -> list[dict[str, object]]:
    """Observed and predicted share of right answers by doubling of the length."""
    doublings = np.array([int(prompt.numbers[0]) for prompt in table.prompts])
    return [
        {
            "bytes_from": 2 ** int(doubling),
            "questions": int((doublings == doubling).sum()),
            "observed": np.round(table.outcomes[doublings == doubling].mean(axis=0), 3).tolist(),
            "predicted": np.round(chances(odds[doublings == doubling]).mean(axis=0), 3).tolist(),
        }
        for doubling in np.unique(doublings)
    ]
