"""Fits a quality model to a table of outcomes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from extproc.estimate.quality.features import NUMBERS
from extproc.estimate.quality.model import QualityModel, TextWeights
from extproc.fit.design import NUMBER_SCALE, WORD_SCALE, Design, gram_matrix, learn_design
from extproc.fit.logistic import Penalty, Regressions, Regressor, fit_regressions
from extproc.fit.mixing import Mixture, log_loss, mixture_of
from extproc.fit.slopes import fit_slopes, joint_log_likelihood
from extproc.fit.table import OutcomeTable

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

PENALTIES: Final = (
    Penalty(1, 3),
    Penalty(3, 10),
    Penalty(3, 30),
    Penalty(10, 60),
    Penalty(30, 300),
    Penalty(1, 30),
    Penalty(3, 100),
    Penalty(3, 1000),
)
"""Fitted all, and weighed by cross-validation: from bold to careful, then bold in common and careful apart."""

TRUSTS: Final = (0.0, 0.25, 0.5, 0.75, 1.0)
NOVEL_SLOPES: Final = (1.0, 1.15, 1.3, 1.5)

DEFAULT_TRUST: Final = 0.5
"""Belief in the fit on prompts unlike its own when there are too few groups to measure it."""

FAMILIAR: Final = 0.75
NOVEL: Final = 0.99
"""Quantiles of the novelty of the fit's own prompts from which on it is believed less, and as little as on others."""

_LEAST_GROUPS: Final = 3
_FOLDS: Final = 3
_TRUST_DIRECTIONS: Final = 64
"""Most directions where whole groups are left out: several fits, and only how far they hold elsewhere is asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FitSettings:
    """How to fit.

    Attributes:
        directions: Most directions that words are projected to; fewer for large tables, see `design`.
        use_words: False to fit numbers alone.
        most_rows: Rows beyond which cross-validation looks at a sample.
        seed: Of the decomposition and the samples.
    """

    directions: int = 384
    use_words: bool = True
    most_rows: int = 2_500
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Fitted:
    """A model and what was found while fitting it.

    Attributes:
        model: The model.
        mixture: How much each of `PENALTIES` counts, by cross-validation.
        novel_trust: Chosen by leaving groups out.
    """

    model: QualityModel
    mixture: Mixture
    novel_trust: float


def fit_model(table: OutcomeTable, settings: FitSettings | None = None) -> Fitted:
    """Fit a quality model: penalties by cross-validation over questions, trust by leaving whole groups out.

    One thread computes: the matrices are small, and waiting threads would cost ten times what they save.
    """
    with threadpool_limits(limits=1):
        return _fit(table, settings or FitSettings())


def _fit(table: OutcomeTable, settings: FitSettings) -> Fitted:
    design = learn_design(table.prompts, settings.directions if settings.use_words else 0, settings.seed)
    matrix = design.matrix(table.prompts)
    sample = _sample(len(matrix), settings)
    folds = table.folds(_FOLDS)[sample]
    mixture, held_out = _weigh_penalties(matrix[sample], table.outcomes[sample], folds)
    slopes = fit_slopes(held_out, np.round(table.outcomes[sample]))
    penalty = PENALTIES[int(mixture.common.argmax())]
    trust, novel_slope = _choose_trust(table.rows(_mask(sample, len(matrix))), settings, penalty, slopes)
    regressor = Regressor(matrix)
    regressions = mixture.of_regressions([regressor.fit(table.outcomes, penalty) for penalty in PENALTIES])
    words = _text_weights(table, design, regressions, trust) if design.directions.shape[1] else None
    bias = _bias(table.outcomes)
    numbers = len(NUMBERS)
    per_number = np.divide(NUMBER_SCALE, design.spread, out=np.zeros(numbers), where=design.spread > 0)
    model = QualityModel(
        names=table.models,
        bias=bias,
        slopes=slopes,
        offset=regressions.intercepts - bias,
        centre=design.centre,
        least=design.least,
        most=design.most,
        number_weights=per_number[:, None] * regressions.weights[:numbers],
        text=words,
        novel_slope=novel_slope if words else 1.0,
    )
    return Fitted(model, mixture, trust)


def _bias(outcomes: Floats) -> Floats:
    """Log odds of each model over all prompts; the population's are their mean."""
    asked = ~np.isnan(outcomes)
    rates = (np.nansum(outcomes, axis=0) + 1.0) / (asked.sum(axis=0) + 2.0)
    odds = np.log(rates / (1.0 - rates))
    return np.append(odds, odds.mean())


def _sample(rows: int, settings: FitSettings) -> npt.NDArray[np.int64]:
    if rows <= settings.most_rows:
        return np.arange(rows)
    return np.sort(np.random.default_rng(settings.seed).choice(rows, settings.most_rows, replace=False))


def _mask(rows: npt.NDArray[np.int64], count: int) -> Mask:
    mask = np.zeros(count, dtype=bool)
    mask[rows] = True
    return mask


def _weigh_penalties(
    matrix: Floats, outcomes: Floats, folds: npt.NDArray[np.int64]
) -> tuple[Mixture, Floats]:
    """How much each penalty counts, and the log odds that all together gave to questions held out."""
    held_out = [np.zeros_like(outcomes) for _ in PENALTIES]
    for fold in range(_FOLDS):
        inside = folds != fold
        # A fold may be empty, or hold everything, in a very small table.
        used = inside if inside.any() else ~inside
        regressor = Regressor(matrix[used])
        for odds, penalty in zip(held_out, PENALTIES, strict=True):
            fitted = regressor.fit(outcomes[used], penalty)
            odds[~inside] = fitted.log_odds(matrix[~inside])[:, :-1]
    mixture = mixture_of(held_out, outcomes)
    return mixture, mixture.of(held_out)


def _choose_trust(
    table: OutcomeTable, settings: FitSettings, penalty: Penalty, slopes: Floats
) -> tuple[float, float]:
    """Belief and spread on prompts unlike those of the fit, as found on groups that were left out.

    Every group weighs the same, however many prompts it has.
    """
    names = sorted(set(table.groups))
    if len(names) < _LEAST_GROUPS or not settings.use_words:
        return DEFAULT_TRUST, NOVEL_SLOPES[1]
    groups = np.array(table.groups)
    parts = [names[start::4] for start in range(min(4, len(names)))]
    losses = np.zeros(len(TRUSTS))
    gains = np.zeros(len(NOVEL_SLOPES))
    for part in parts:
        out = np.isin(groups, part)
        inside = table.rows(~out)
        directions = min(settings.directions, _TRUST_DIRECTIONS)
        design = learn_design(inside.prompts, directions, settings.seed)
        fitted = fit_regressions(design.matrix(inside.prompts), inside.outcomes, penalty)
        odds = fitted.log_odds(design.matrix(table.rows(out).prompts))[:, :-1]
        bias = _bias(inside.outcomes)[:-1]
        for name in part:
            rows = groups[out] == name
            outcomes = table.outcomes[out][rows]
            for index, trust in enumerate(TRUSTS):
                losses[index] += log_loss(bias + trust * (odds[rows] - bias), outcomes)
            for index, factor in enumerate(NOVEL_SLOPES):
                halfway = bias + DEFAULT_TRUST * (odds[rows] - bias)
                gains[index] += joint_log_likelihood(halfway, factor * slopes, np.round(outcomes)).mean()
    return TRUSTS[int(losses.argmin())], NOVEL_SLOPES[int(gains.argmax())]


def _text_weights(table: OutcomeTable, design: Design, regressions: Regressions, trust: float) -> TextWeights:
    weights = WORD_SCALE * design.scale[:, None] * (design.directions @ regressions.weights[len(NUMBERS) :])
    rarity = 1.0 / (1.0 + design.documents)
    # A prompt's own words are among the documents: without itself, each would be one document rarer.
    without = 1.0 / np.maximum(design.documents, 1.0)
    squared = design.words(gram_matrix(table.prompts))
    novelty = squared.multiply(squared).tocsr() @ without
    familiar = float(np.quantile(novelty, FAMILIAR))
    novel = max(float(np.quantile(novelty, NOVEL)), familiar + 1e-4)
    mass = design.scale**2
    alien = float(mass @ rarity / max(float(mass.sum()), 1e-12))
    return TextWeights(
        weights=weights.astype(np.float32),
        scale=design.scale.astype(np.float32),
        rarity=rarity.astype(np.float32),
        familiar=familiar,
        novel=novel,
        alien=max(alien, novel * 1.5),
        novel_trust=trust,
    )
