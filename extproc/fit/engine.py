"""From outcome tables to a model directory: what `ttca fit` does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

import numpy as np
import sklearn

from extproc.fit.fitting import PENALTIES, FitSettings, fit_model
from extproc.fit.metrics import calibration, calibration_error, chances, log_loss_gain_error
from extproc.fit.mixing import log_loss
from extproc.fit.published import SOURCES, load
from extproc.fit.read import read_table
from extproc.fit.rivals import PriorOnly, bounded
from extproc.fit.slopes import joint_log_likelihood
from extproc.fit.table import OutcomeTable, stacked
from extproc.fit.told import WrittenFit
from extproc.model_directory import save_model, why_not_writable

HELD_OUT: Final = 5
"""One question in so many is held out for the figures in the manifest; the stored model is fitted to all."""

STEPS: Final = 3
"""Times that `advance` is called."""

_LEAST_ROWS: Final = 20


def fit_from_tables(
    sources: Sequence[str],
    directory: Path,
    *,
    folder: Path | None = None,
    settings: FitSettings | None = None,
    advance: Callable[[str], None] = lambda _: None,
) -> WrittenFit:
    """Fit a quality model to outcome tables and write it into a model directory.

    Args:
        sources: Paths of tables as `extproc.fit.read` takes them, or names of published ones.
        directory: Where the model goes; one that is there is replaced in one step.
        folder: Where published tables are; needed for their names only.
        settings: How to fit.
        advance: Called with what is being done next, `STEPS` times.

    Raises:
        ValueError: The directory cannot be one, or a table is malformed, unknown or too small; an older model stays as
            it was.
        FileNotFoundError: A published table is not there; the text says where it is published.
    """
    settings = settings or FitSettings()
    if why := why_not_writable(directory):
        raise ValueError(why)
    advance("reading tables")
    table = read_all(sources, folder)
    if len(table.prompts) < _LEAST_ROWS:
        raise ValueError(
            f"{len(table.prompts)} rows are too few to fit a model, expected at least {_LEAST_ROWS}: gather more outcomes"
        )
    advance("measuring on questions held out")
    metrics = _measure(table, settings)
    advance("fitting")
    fitted = fit_model(table, settings)
    about = {
        "sources": [Path(source).name for source in sources],
        **_about(table, settings),
        "penalties": [
            {**penalty._asdict(), "common": round(float(common), 4), "apart": round(float(apart), 4)}
            for penalty, common, apart in zip(
                PENALTIES, fitted.mixture.common, fitted.mixture.apart, strict=True
            )
        ],
        "metrics": metrics,
    }
    save_model(fitted.model, directory, about)
    return WrittenFit(model=fitted.model, questions=len(table.prompts), metrics=metrics)


def read_all(sources: Sequence[str], folder: Path | None) -> OutcomeTable:
    """One table of several sources.

    Raises:
        ValueError: Sources are malformed or unknown, or there is none; the text tells of each.
        FileNotFoundError: A published table is not there.
    """
    tables: list[OutcomeTable] = []
    mistakes: list[str] = []
    for source in sources:
        if source in SOURCES:
            if folder is None:
                raise FileNotFoundError(
                    f"{source}: no folder of published data; it is made from {SOURCES[source]}"
                )
            tables.append(load(source, folder))
        elif Path(source).is_file():
            try:
                tables.append(read_table(Path(source)))
            except ValueError as error:
                mistakes.append(str(error))
        else:
            mistakes.append(f"{source}: neither a file nor one of {', '.join(SOURCES)}")
    if mistakes:
        raise ValueError("\n".join(mistakes))
    return stacked(tables, "+".join(table.name for table in tables))


def _about(table: OutcomeTable, settings: FitSettings) -> dict[str, object]:
    """What tells one fit from another."""
    return {
        "data_sha256": table.digest(),
        "rows": len(table.prompts),
        "outcomes": int((~np.isnan(table.outcomes)).sum()),
        "groups": sorted(set(table.groups))[:100],
        "settings": asdict(settings),
        "versions": {"numpy": np.__version__, "scikit-learn": sklearn.__version__},
    }


def _measure(table: OutcomeTable, settings: FitSettings) -> dict[str, float]:
    """Figures on one question in five, of a model fitted to the others."""
    out = table.folds(HELD_OUT) == 0
    if not 0 < out.sum() < len(out):
        return {}
    rest, asked = table.rows(~out), table.rows(out)
    model = fit_model(rest, settings).model
    odds = bounded(np.array([model.log_odds(prompt)[0][:-1] for prompt in asked.prompts]))
    known = ~np.isnan(asked.outcomes)
    counts = (~np.isnan(rest.outcomes)).sum(axis=0)
    prior = PriorOnly.of((np.nansum(rest.outcomes, axis=0) + 1.0) / (counts + 2.0)).log_odds(asked.prompts)
    right = np.round(asked.outcomes)
    return {
        "questions": float(len(asked.prompts)),
        "log_loss": log_loss(odds, asked.outcomes),
        "log_loss_of_prior": log_loss(prior, asked.outcomes),
        "log_loss_gain_error": log_loss_gain_error(odds, prior, asked.outcomes),
        "calibration_error": calibration_error(calibration(chances(odds)[known], asked.outcomes[known])),
        "joint_log_likelihood": float(joint_log_likelihood(odds, model.slopes[:-1], right).mean()),
        "joint_log_likelihood_if_independent": float(
            joint_log_likelihood(odds, np.zeros(len(table.models)), right).mean()
        ),
    }
