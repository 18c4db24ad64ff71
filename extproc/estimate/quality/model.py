"""The fitted quality model as plain arrays: marginal chances from prompt features, slopes for the coupling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from extproc.estimate.quality.coupling import MOST_LOG_ODDS, WEIGHTS, Floats, tabulate, weights_after
from extproc.estimate.quality.features import NUMBERS, PromptFeatures
from extproc.facts.grams import GRAMS

REPEAT_SHARE = 0.05
"""Chance of a model that has just failed, as a share of what it would be were it another model of the same skill. At
temperature 0 the same answer comes again, but for the rounding that differs from batch to batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextWeights:
    """How words bear on the chances: a projection to a few directions, and each model's weights for these.

    Attributes:
        scale: Weight of each gram (inverse document frequency), shape (GRAMS,), at least 0.
        basis: Directions, premultiplied by `scale`, shape (GRAMS, directions).
        weights: Log odds per unit of direction, shape (directions, models + 1).
        energy_least: Share of a prompt's squared length that falls into the directions at which nothing that the fit
            says of it is believed, in [0, 1): it is about something else than what the model was fitted on.
        energy_full: Share from which on all is believed, above `energy_least`.
    """

    scale: npt.NDArray[np.float32]
    basis: npt.NDArray[np.float32]
    weights: npt.NDArray[np.float32]
    energy_least: float
    energy_full: float


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityModel:
    """P(correct | prompt, model) for several models at once, with what one's failure says of the others.

    The last entry of every per-model array is the population: the mean model, which stands in for unknown ones.

    Attributes:
        names: Models, in the order of the arrays.
        bias: Log odds of the chance over all prompts, shape (models + 1,).
        slopes: How strongly each model's chance hangs on the latent difficulty, at least 0, shape (models + 1,).
        centre: Subtracted from each number that describes a prompt, shape (numbers,).
        least, most: Range of the numbers that the fit has seen; beyond, they are taken as at its end.
        number_weights: Log odds per unit of each number, shape (numbers, models + 1).
        text: None when words do not bear on the chances.
        novel_slope: Factor on the slopes for prompts unlike any that the fit has seen, at least 1: little is known of
            how hard they are.
        repeat_share: See `REPEAT_SHARE`.

    Raises:
        ValueError: An array has another shape than its description, or holds what is no finite number.
    """

    names: tuple[str, ...]
    bias: Floats
    slopes: Floats
    centre: Floats
    least: Floats
    most: Floats
    number_weights: Floats
    text: TextWeights | None = None
    novel_slope: float = 1.0
    repeat_share: float = REPEAT_SHARE
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
        """Marginal log odds of every model and the population, and how familiar the prompt is, 0 to 1.

        An unfamiliar prompt gets what is known of the models over all prompts.
        """
        numbers = np.minimum(np.maximum(np.array(features.numbers), self.least), self.most)
        effect = (numbers - self.centre) @ self.number_weights
        text = self.text
        if text is None:
            return self.bias + effect, 1.0
        grams = np.frombuffer(features.grams, dtype="<u2")
        scale = text.scale.take(grams)
        squared = float(scale @ scale)
        if squared <= 0.0:
            return self.bias, 0.0
        direction = text.basis.take(grams, axis=0).sum(axis=0)
        energy = float(direction @ direction) / squared
        familiar = min(1.0, max(0.0, (energy - text.energy_least) / (text.energy_full - text.energy_least)))
        effect += direction @ text.weights / squared**0.5
        return self.bias + familiar * effect, familiar

    def node_table(self, features: PromptFeatures, models: Sequence[str]) -> tuple[Floats, Floats]:
        """What a planner needs to weigh any sequence of attempts.

        Returns:
            Weights of the nodes, shape (nodes,), summing to 1; and P(correct) of each model at each node, shape
            (models, nodes). At a node the models are independent: the chance that all of a set fail is the weighted
            sum of the product of their (1 - p), and after failures the weights are those times that product.
        """
        odds, familiar = self.log_odds(features)
        rows = [self._rows.get(model, len(self.names)) for model in models]
        return WEIGHTS, tabulate(bounded(odds[rows]), self.slopes_at(familiar)[rows])

    def slopes_at(self, familiar: float) -> Floats:
        """Slopes of every model and the population on a prompt that is so familiar."""
        return self.slopes * (self.novel_slope + (1.0 - self.novel_slope) * familiar)

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
        "centre": (model.centre, (numbers,)),
        "least": (model.least, (numbers,)),
        "most": (model.most, (numbers,)),
        "number_weights": (model.number_weights, (numbers, rows)),
    }
    text = model.text
    if text is not None:
        directions = text.basis.shape[-1]
        expected["text.scale"] = (text.scale, (GRAMS,))
        expected["text.basis"] = (text.basis, (GRAMS, directions))
        expected["text.weights"] = (text.weights, (directions, rows))
        if not 0.0 <= text.energy_least < text.energy_full:
            raise ValueError("text: expected 0 <= energy_least < energy_full")
        if (text.scale < 0).any():
            raise ValueError("text.scale: expected weights of at least 0")
    for name, (array, shape) in expected.items():
        if array.shape != shape:
            raise ValueError(f"{name}: expected shape {shape}, got {array.shape}")
        if not np.isfinite(array).all():
            raise ValueError(f"{name}: expected finite numbers")
    if len(set(model.names)) != len(model.names):
        raise ValueError("names: a model is named twice")
    if (model.slopes < 0).any() or model.novel_slope < 1.0:
        raise ValueError("slopes: expected at least 0, and novel_slope at least 1")
    if not 0.0 <= model.repeat_share <= 1.0:
        raise ValueError(f"repeat_share: expected a share in [0, 1], got {model.repeat_share}")
