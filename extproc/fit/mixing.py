"""Several penalties as one fit: how much each counts, by what it said of questions that were held out.

Two things are to be known of a prompt: how hard it is for all, and how the models differ on it. Choosing a model depends
on the second alone, and the log loss sees mostly the first. So the part that is common to the models is weighed by
log loss, and the differences between them by the loss on pairs of models of which one was right and the other wrong: the
conditional likelihood of the Rasch model, in which what is common cancels (Andersen 1970).

Weights fall off with the loss instead of going to the least one alone: where losses differ by less than chance makes them
differ, the mean of several fits is better than any one of them. All fits are linear in the same features, so that the mean
is one of them too, and costs nothing at run time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from extproc.fit.logistic import Regressions

Floats = npt.NDArray[np.float64]

TEMPERATURE: Final = 10.0
"""Nats over all questions, in the mean over models or pairs, by which a fit must be worse to count e times less."""

LEAST_PAIRS: Final = 50
"""Pairs below which differences are weighed by log loss too, each beside the same common part."""


@dataclass(frozen=True, slots=True)
class Mixture:
    """How much each of several fits counts, each of shape (fits,) and summing to 1.

    Attributes:
        common: For what is common to the models.
        apart: For how they differ.
    """

    common: Floats
    apart: Floats

    def of(self, log_odds: Sequence[Floats]) -> Floats:
        """One table of log odds of several, shape (prompts, models)."""
        stacked = np.stack(log_odds)
        means = stacked.mean(axis=2, keepdims=True)
        result: Floats = np.tensordot(self.common, means, 1) + np.tensordot(self.apart, stacked - means, 1)
        return result

    def of_regressions(self, fits: Sequence[Regressions]) -> Regressions:
        """One regression of several; the last column, the population's, is their mean as before."""
        weights = self._columns(np.stack([fit.weights for fit in fits]))
        return Regressions(weights, self._columns(np.stack([fit.intercepts[None] for fit in fits]))[0])

    def _columns(self, stacked: Floats) -> Floats:
        means = stacked[:, :, -1:]
        result: Floats = np.tensordot(self.common, means, 1) + np.tensordot(self.apart, stacked - means, 1)
        return result


def mixture_of(held_out: Sequence[Floats], outcomes: Floats) -> Mixture:
    """Weigh fits by what they said of questions held out.

    Args:
        held_out: Log odds by each fit, shape (questions, models).
        outcomes: 0 to 1, NaN where a model was not asked; of the same shape.
    """
    questions = len(outcomes)
    common = _weights(np.array([log_loss(odds, outcomes) for odds in held_out]), questions)
    pairs = [pair_loss(odds, outcomes) for odds in held_out]
    if pairs[0][1] < LEAST_PAIRS:
        stacked = np.stack(held_out)
        apart = stacked - stacked.mean(axis=2, keepdims=True)
        together = np.tensordot(common, stacked.mean(axis=2, keepdims=True), 1)
        losses = [log_loss(together + each, outcomes) for each in apart]
        return Mixture(common, _weights(np.array(losses), questions))
    return Mixture(common, _weights(np.array([loss for loss, _ in pairs]), questions))


def log_loss(log_odds: Floats, outcomes: Floats) -> float:
    """Mean log loss in nats over the outcomes that are there."""
    asked = ~np.isnan(outcomes)
    odds, right = log_odds[asked], outcomes[asked]
    return float((np.logaddexp(0.0, odds) - right * odds).mean())


def pair_loss(log_odds: Floats, outcomes: Floats) -> tuple[float, int]:
    """Mean loss in nats over the pairs of models of which one was right and the other wrong, and how many these are."""
    total, count = 0.0, 0
    right = np.round(outcomes)
    for first in range(outcomes.shape[1]):
        for second in range(first):
            ahead = right[:, first] - right[:, second]
            rows = np.abs(ahead) == 1.0
            lead = (log_odds[rows, first] - log_odds[rows, second]) * ahead[rows]
            total += float(np.logaddexp(0.0, -lead).sum())
            count += int(rows.sum())
    return total / max(count, 1), count


def _weights(losses: Floats, questions: int) -> Floats:
    weights = np.exp((losses.min() - losses) * questions / TEMPERATURE)
    result: Floats = weights / weights.sum()
    return result
