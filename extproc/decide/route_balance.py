"""RouteBalance's score (arXiv 2606.17949): quality, cost and latency of one attempt in one weighted sum.

    S(r, i) = wq * Q + wc * (1 - C / max C) + wl * (1 - T / max T)

with the maxima over the request's candidates. Its T is TPOT * (d / b + L): pending decode tokens over the running batch, plus the
predicted length, at one token time per instance. Here T is this router's own latency estimate, which knows prefill and queue as well
(docs/latency-estimates.md holds the two against measurements); Q is P(correct) instead of a judge's grade.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from extproc.decide.weights import Weights
from extproc.estimate.predictions import Predictions
from extproc.fleet.snapshot import FleetSnapshot, Floats, Ints

_TINY = 1e-8


class QualityNorm(StrEnum):
    """How quality enters the score."""

    RAW = "raw"
    """As it is, in [0, 1]: the paper's formula. Chances that lie close together hardly count."""
    MINMAX = "minmax"
    """Stretched to [0, 1] over the request's candidates, as the authors' released runs do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreTerms:
    """The score's three terms, each by candidate, weights included, shape (k,)."""

    quality: Floats
    cost: Floats
    latency: Floats

    @property
    def score(self) -> Floats:
        """Their sum."""
        return self.quality + self.cost + self.latency


def score_terms(predictions: Predictions, weights: Weights, norm: QualityNorm) -> ScoreTerms:
    """Work out the terms for every candidate."""
    quality = predictions.chance
    if norm is QualityNorm.MINMAX:
        quality = (quality - quality.min()) / (quality.max() - quality.min() + _TINY)
    return ScoreTerms(
        quality=weights.quality * quality,
        cost=weights.cost * (1.0 - _share_of_largest(predictions.usd)),
        latency=weights.latency * (1.0 - _share_of_largest(predictions.latency.total_seconds)),
    )


def order_by_score(terms: ScoreTerms, rows: Ints, snapshot: FleetSnapshot) -> Ints:
    """Positions into `rows`, best first: suspects last, ties to the smaller queue, then to whom was assigned longest ago."""
    result: Ints = np.lexsort(
        (snapshot.last_assigned[rows], snapshot.sequences[rows], -terms.score, snapshot.suspect[rows])
    )
    return result


def _share_of_largest(values: Floats) -> Floats:
    largest = float(values.max())
    return values / largest if largest > 0.0 else np.zeros(len(values))
