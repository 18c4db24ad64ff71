"""The fitted quality model as plain arrays: marginal chances from prompt features, slopes for the coupling."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from extproc.estimate.quality.coupling import MOST_LOG_ODDS, WEIGHTS, Floats, tabulate, weights_after
from extproc.estimate.quality.features import NUMBERS, PromptFeatures
from extproc.facts.grams import GRAMS

MOST_WEIGHT = 1e9
"""Largest figure of a fit: far beyond any, and sums of products of such are finite, so that no chance becomes NaN."""

STEEPEST = 5.0
"""Steepest slope of a model: beyond, the nodes are too far apart for it."""

REPEAT_SHARE = 0.05
"""Chance of a model that has just failed, as a share of what it would be were it another model of the same skill. At
temperature 0 the same answer comes again, but for the rounding that differs from batch to batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextWeights:
    """How words bear on the chances, and how far they are believed on prompts unlike those of the fit.

    A prompt's log odds move by the sum of its grams' `weights`, divided by the root of the sum of their squared `scale`
    (a prompt is a vector of inverse document frequencies of length 1). Its novelty is the mean `rarity` of its grams,
    weighted by their squared `scale`.

    Attributes:
        weights: Log odds by gram, `scale` included, shape (GRAMS, models + 1).
        scale: Inverse document frequency of each gram, shape (GRAMS,), at least 0.
        rarity: 1 / (1 + documents of the fit that have the gram), shape (GRAMS,), in [0, 1].
        familiar: Novelty up to which a prompt is like those of the fit.
        novel: Novelty from which on it is not, above `familiar`.
        alien: Novelty of random words, above `novel`: nothing that the fit says of such a prompt is believed.
        novel_trust: Share of the effect that is believed at `novel`, in [0, 1]; it is linear in between.
    """

    weights: npt.NDArray[np.float32]
    scale: npt.NDArray[np.float32]
    rarity: npt.NDArray[np.float32]
    familiar: float
    novel: float
    alien: float
    novel_trust: float
    packed: npt.NDArray[np.float32] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not 0.0 <= self.familiar < self.novel < self.alien:
            raise ValueError("text: expected 0 <= familiar < novel < alien")
        if not 0.0 <= self.novel_trust <= 1.0:
            raise ValueError(f"text.novel_trust: expected a share in [0, 1], got {self.novel_trust}")
        if self.weights.ndim != 2 or not (GRAMS,) == self.scale.shape == self.rarity.shape:
            raise ValueError(f"text: expected an entry for each of {GRAMS} grams")
        if len(self.weights) != GRAMS or (self.scale < 0).any():
            raise ValueError(f"text: expected {GRAMS} rows of weights, and scales of at least 0")
        squared = self.scale**2
        # One gather per prompt instead of three.
        packed = np.column_stack((self.weights, squared, squared * self.rarity)).astype(np.float32)
        object.__setattr__(self, "packed", np.ascontiguousarray(packed))

    def effect(self, grams: bytes) -> tuple[npt.NDArray[np.float32] | None, float]:
        """Log odds that a prompt's words add for each model, and the share of the whole fit to believe.

        None and 0 for a prompt without a word that the fit knows.
        """
        rows = self.packed.take(np.frombuffer(grams, dtype="<u2"), axis=0)
        # A product with ones sums a tall matrix in a quarter of the time of `sum`.
        sums = np.ones(len(rows), dtype=np.float32) @ rows
        squared = float(sums[-2])
        if squared <= 0.0:
            return None, 0.0
        return sums[:-2] * (1.0 / math.sqrt(squared)), self._trust(float(sums[-1]) / squared)

    def _trust(self, novelty: float) -> float:
        if novelty <= self.familiar:
            return 1.0
        if novelty <= self.novel:
            share = (novelty - self.familiar) / (self.novel - self.familiar)
            return 1.0 - (1.0 - self.novel_trust) * share
        return self.novel_trust * max(0.0, (self.alien - novelty) / (self.alien - self.novel))


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityModel:
    """P(correct | prompt, model) for several models at once, with what one's failure says of the others.

    The last entry of every per-model array is the population: the mean model, which stands in for unknown ones.

    Attributes:
        names: Models, in the order of the arrays.
        bias: Log odds of the chance over all prompts, shape (models + 1,).
        slopes: How strongly each model's chance hangs on the latent difficulty, 0 to `STEEPEST`, shape (models + 1,).
        centre: Subtracted from each number that describes a prompt, shape (numbers,).
        offset: Log odds added where the fit is believed (the mean of a curve is not the curve at the mean), shape
            (models + 1,).
        least, most: Range of the numbers that the fit has seen; beyond, they are taken as at its end.
        number_weights: Log odds per unit of each number, shape (numbers, models + 1).
        text: None when words do not bear on the chances.
        novel_slope: Factor on the slopes for prompts unlike any that the fit has seen, 1 to 2: little is known of
            how hard they are.
        repeat_share: See `REPEAT_SHARE`.
        fit_id: Tells one stored fit from another; empty for a model that was not read from a model directory.

    Raises:
        ValueError: An array has another shape than its description, or holds what is no number within `MOST_WEIGHT`.
    """

    names: tuple[str, ...]
    bias: Floats
    slopes: Floats
    offset: Floats
    centre: Floats
    least: Floats
    most: Floats
    number_weights: Floats
    text: TextWeights | None = None
    novel_slope: float = 1.0
    repeat_share: float = REPEAT_SHARE
    fit_id: str = ""
    _rows: Mapping[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _check(self)
        object.__setattr__(self, "_rows", {name: row for row, name in enumerate(self.names)})

    def row(self, model: str) -> int:
        """The model's row in the arrays; the population's for a model that the fit does not know."""
        return self._rows.get(model, len(self.names))

    def knows(self, model: str) -> bool:
        """Tell whether the fit has seen the model."""
        return model in self._rows

    def log_odds(self, features: PromptFeatures) -> tuple[Floats, float]:
        """Marginal log odds of every model and the population, and how far the fit is believed here, 0 to 1.

        A prompt unlike those of the fit gets what is known of the models over all prompts.
        """
        numbers = np.minimum(np.maximum(np.array(features.numbers), self.least), self.most)
        effect = self.offset + (numbers - self.centre) @ self.number_weights
        if self.text is None:
            return self.bias + effect, 1.0
        words, trust = self.text.effect(features.grams)
        if words is None:
            return self.bias, 0.0
        return self.bias + trust * (effect + words), trust

    def node_table(self, features: PromptFeatures, models: Sequence[str]) -> tuple[Floats, Floats]:
        """What a planner needs to weigh any sequence of attempts.

        Returns:
            Weights of the nodes, shape (nodes,), summing to 1; and P(correct) of each model at each node, shape
            (models, nodes). At a node the models are independent: the chance that all of a set fail is the weighted
            sum of the product of their (1 - p), and after failures the weights are those times that product.
        """
        odds, trust = self.log_odds(features)
        rows = [self._rows.get(model, len(self.names)) for model in models]
        return WEIGHTS, tabulate(bounded(odds[rows]), self.slopes_at(trust)[rows])

    def slopes_at(self, trust: float) -> Floats:
        """Slopes of every model and the population where the fit is believed so far: less known, more spread."""
        factor = self.novel_slope + (1.0 - self.novel_slope) * trust
        return self.slopes if factor == 1.0 else np.minimum(self.slopes * factor, STEEPEST)

    def chances(self, features: PromptFeatures, models: Sequence[str], failed: Sequence[str] = ()) -> Floats:
        """P(correct) of each model, given that those in `failed` have answered this very question wrongly."""
        asked = (*models, *dict.fromkeys(failed))
        _, table = self.node_table(features, asked)
        return chances_after(table, models, failed, self.repeat_share)


def bounded(log_odds: Floats) -> Floats:
    """Log odds within the range that is believed."""
    return np.minimum(np.maximum(log_odds, -MOST_LOG_ODDS), MOST_LOG_ODDS)


def chances_after(table: Floats, models: Sequence[str], failed: Sequence[str], repeat_share: float) -> Floats:
    """Chances of the first rows of a node table, after the failures of its last ones.

    Args:
        table: Rows for `models`, then one for each distinct model of `failed`.
        models: Models to tell the chances of.
        failed: Models that have failed; each counts once, for the same failure again says nothing new.
        repeat_share: Factor on the chance of a model that has failed.
    """
    count = len(models)
    chances: Floats = table[:count] @ weights_after(table, range(count, len(table)))
    for index, model in enumerate(models):
        if model in failed:
            chances[index] *= repeat_share
    return chances


def _check(model: QualityModel) -> None:
    rows, numbers = len(model.names) + 1, len(NUMBERS)
    expected: dict[str, tuple[npt.NDArray[np.floating], tuple[int, ...]]] = {
        "bias": (model.bias, (rows,)),
        "slopes": (model.slopes, (rows,)),
        "offset": (model.offset, (rows,)),
        "centre": (model.centre, (numbers,)),
        "least": (model.least, (numbers,)),
        "most": (model.most, (numbers,)),
        "number_weights": (model.number_weights, (numbers, rows)),
    }
    text = model.text
    if text is not None:
        expected["text.weights"] = (text.weights, (GRAMS, rows))
        expected["text.packed"] = (text.packed, (GRAMS, rows + 2))
    for name, (array, shape) in expected.items():
        if array.shape != shape:
            raise ValueError(f"{name}: expected shape {shape}, got {array.shape}")
        # NaN fails every comparison.
        if not (np.abs(array) <= MOST_WEIGHT).all():
            raise ValueError(f"{name}: expected numbers from {-MOST_WEIGHT:g} to {MOST_WEIGHT:g}")
    if len(set(model.names)) != len(model.names):
        raise ValueError("names: a model is named twice")
    if not ((model.slopes >= 0.0) & (model.slopes <= STEEPEST)).all() or not 1.0 <= model.novel_slope <= 2.0:
        raise ValueError(f"slopes: expected from 0 to {STEEPEST}, and novel_slope from 1 to 2")
    if not 0.0 <= model.repeat_share <= 1.0:
        raise ValueError(f"repeat_share: expected a share in [0, 1], got {model.repeat_share}")
