"""How good chances are: log loss, Brier score, area under the ROC curve, calibration, with bootstrap intervals."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from sklearn.metrics import roc_auc_score

Floats = npt.NDArray[np.float64]

BINS: Final = 10
LEVEL: Final = 0.95


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure and the interval that 95 % of bootstrap samples over questions fall into."""

    value: float
    low: float
    high: float


def chances(log_odds: Floats) -> Floats:
    """Chances of log odds."""
    result: Floats = 1.0 / (1.0 + np.exp(-log_odds))
    return result


def log_losses(log_odds: Floats, outcomes: Floats) -> Floats:
    """Log loss of each question in nats, averaged over models."""
    result: Floats = (np.logaddexp(0.0, log_odds) - outcomes * log_odds).mean(axis=1)
    return result


def brier_scores(log_odds: Floats, outcomes: Floats) -> Floats:
    """Squared error of each question's chances, averaged over models."""
    result: Floats = ((chances(log_odds) - outcomes) ** 2).mean(axis=1)
    return result


def mean_auc(log_odds: Floats, outcomes: Floats) -> float:
    """Area under the ROC curve within each model, averaged; 0.5 is no knowledge of the prompt at all."""
    areas = [
        float(roc_auc_score(outcomes[:, model], log_odds[:, model]))
        for model in range(outcomes.shape[1])
        if 0.0 < outcomes[:, model].mean() < 1.0
    ]
    return float(np.mean(areas)) if areas else 0.5


@dataclass(frozen=True, slots=True)
class Bin:
    """Chances of about the same size, and how often they came true."""

    predicted: float
    observed: float
    count: int


def calibration(predicted: Floats, outcomes: Floats) -> list[Bin]:
    """Observed frequency by predicted chance, in ten equal steps; empty ones are left out."""
    slot = np.minimum((predicted * BINS).astype(int), BINS - 1)
    return [
        Bin(
            float(predicted[slot == index].mean()),
            float(outcomes[slot == index].mean()),
            int((slot == index).sum()),
        )
        for index in range(BINS)
        if (slot == index).any()
    ]


def calibration_error(bins: list[Bin]) -> float:
    """Expected calibration error: mean distance of predicted and observed, weighted by count."""
    total = sum(each.count for each in bins)
    return sum(each.count * abs(each.predicted - each.observed) for each in bins) / total if total else 0.0


def log_loss_gain_error(log_odds: Floats, rival: Floats, outcomes: Floats) -> float:
    """Standard error of how much less log loss `log_odds` have than `rival`, over outcomes that are there.

    Answers to one question hang together, so questions are drawn and not answers: the error of a ratio of sums
    (Cochran 1977, 6.4). All three have shape (questions, models).
    """
    asked = ~np.isnan(outcomes)
    right = np.where(asked, outcomes, 0.0)
    gains = np.logaddexp(0.0, rival) - right * rival - np.logaddexp(0.0, log_odds) + right * log_odds
    gained, counts = np.where(asked, gains, 0.0).sum(axis=1), asked.sum(axis=1)
    residuals = gained - gained.sum() / counts.sum() * counts
    return float(np.sqrt(np.square(residuals).sum()) / counts.sum())


def draw_weights(questions: int, samples: int, seed: int) -> Floats:
    """How often each question is drawn, shape (questions, 1 + samples); the first column is the questions themselves."""
    rng = np.random.default_rng(seed)
    weights = np.ones((questions, 1 + samples))
    for sample in range(1, 1 + samples):
        weights[:, sample] = np.bincount(rng.integers(0, questions, questions), minlength=questions)
    return weights


def interval(draws: Floats) -> Interval:
    """The first of the draws, with the percentile interval of the others."""
    low, high = np.quantile(draws[1:], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(draws[0]), float(low), float(high))


def as_json(interval: Interval) -> dict[str, float]:
    """An interval for a report, to five places."""
    return {key: round(value, 5) for key, value in asdict(interval).items()}
