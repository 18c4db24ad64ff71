"""The ladder of estimators that ours is held against, each fitted and asked in the same way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt
from scipy import sparse
from sklearn.linear_model import LogisticRegression

from extproc.estimate.quality.coupling import MOST_LOG_ODDS
from extproc.estimate.quality.features import NUMBERS, PromptFeatures
from extproc.fit.design import Design, gram_matrix, learn_design, number_matrix
from extproc.fit.fitting import FitSettings, Fitted, fit_model
from extproc.fit.logistic import fit_one
from extproc.fit.table import OutcomeTable

Floats = npt.NDArray[np.float64]

NEIGHBOURS: Final = 10
_LEAST_DISTANCE: Final = 1e-6
_LAAR_PENALTY: Final = 1.0
_LANGUAGES: Final = ("english", "other_latin", "unspaced_scripts", "other_scripts")


class Estimator(Protocol):
    """Chances of several models, learned from outcomes."""

    def fit(self, table: OutcomeTable) -> None:
        """Learn from a table whose every outcome is there."""

    def log_odds(self, prompts: Sequence[PromptFeatures]) -> Floats:
        """Log odds of each model for each prompt, shape (prompts, models)."""


class PriorOnly:
    """Each model's accuracy, whatever the prompt."""

    @classmethod
    def of(cls, accuracies: Floats) -> PriorOnly:
        """The one with these accuracies."""
        prior = cls()
        prior._odds = to_log_odds(accuracies)
        return prior

    def fit(self, table: OutcomeTable) -> None:
        """See `Estimator`."""
        self._odds = to_log_odds((table.outcomes.sum(axis=0) + 1.0) / (len(table.prompts) + 2.0))

    def log_odds(self, prompts: Sequence[PromptFeatures]) -> Floats:
        """See `Estimator`."""
        return np.tile(self._odds, (len(prompts), 1))


class LengthAndLanguage:
    """LAAR's capability model (arXiv 2604.15732): logistic regression on prompt length and language."""

    _columns = (0, *(NUMBERS.index(name) for name in _LANGUAGES))

    def fit(self, table: OutcomeTable) -> None:
        """See `Estimator`."""
        numbers = number_matrix(table.prompts)[:, self._columns]
        self._centre, self._spread = numbers.mean(axis=0), numbers.std(axis=0) + 1e-3
        matrix = (numbers - self._centre) / self._spread
        zero = np.zeros(matrix.shape[1])
        self._fits = [fit_one(matrix, outcomes, zero, _LAAR_PENALTY) for outcomes in table.outcomes.T]

    def log_odds(self, prompts: Sequence[PromptFeatures]) -> Floats:
        """See `Estimator`."""
        matrix = (number_matrix(prompts)[:, self._columns] - self._centre) / self._spread
        return bounded(np.column_stack([matrix @ weights + start for weights, start in self._fits]))


class Neighbours:
    """RouteBalance's form (arXiv 2606.17949): the mean of the ten nearest prompts, weighted by 1 / (distance + 1e-6).

    Distance is 1 less the cosine, on the same hashed words that ours sees; theirs were sentence embeddings.
    """

    def fit(self, table: OutcomeTable) -> None:
        """See `Estimator`."""
        self._design: Design = learn_design(table.prompts, 0, 0)
        self._words = self._design.words(gram_matrix(table.prompts))
        self._outcomes = table.outcomes

    def log_odds(self, prompts: Sequence[PromptFeatures]) -> Floats:
        """See `Estimator`."""
        words = self._design.words(gram_matrix(prompts))
        count = min(NEIGHBOURS, len(self._outcomes))
        chances = np.empty((len(prompts), self._outcomes.shape[1]))
        for start in range(0, len(prompts), 512):
            block = (words[start : start + 512] @ self._words.T).toarray()
            nearest = np.argpartition(-block, count - 1, axis=1)[:, :count]
            distance = np.maximum(1.0 - np.take_along_axis(block, nearest, axis=1), 0.0)
            weights = 1.0 / (distance + _LEAST_DISTANCE)
            weights /= weights.sum(axis=1, keepdims=True)
            chances[start : start + 512] = np.einsum("pk,pkm->pm", weights, self._outcomes[nearest])
        return to_log_odds(chances)


class LinearWords:
    """Logistic regression on the hashed words alone, every one with a weight of its own."""

    def fit(self, table: OutcomeTable) -> None:
        """See `Estimator`."""
        self._design = learn_design(table.prompts, 0, 0)
        words = self._design.words(gram_matrix(table.prompts))
        self._fits = [_linear(words, outcomes) for outcomes in table.outcomes.T]

    def log_odds(self, prompts: Sequence[PromptFeatures]) -> Floats:
        """See `Estimator`."""
        words = self._design.words(gram_matrix(prompts))
        return bounded(np.column_stack([words @ weights + start for weights, start in self._fits]))


def _linear(words: sparse.csr_matrix, outcomes: Floats) -> tuple[Floats, float]:
    if len(np.unique(outcomes)) == 1:
        return np.zeros(words.shape[1]), float(to_log_odds(outcomes.mean(keepdims=True))[0])
    found = LogisticRegression(C=1.0, max_iter=300).fit(words, outcomes.astype(int))
    return found.coef_[0], float(found.intercept_[0])


class Ours:
    """Our fit, with words or on numbers alone, as the service runs it: prompt by prompt, from plain arrays."""

    def __init__(self, settings: FitSettings) -> None:
        self._settings = settings
        self.fitted: Fitted | None = None

    def fit(self, table: OutcomeTable) -> None:
        """See `Estimator`."""
        self.fitted = fit_model(table, self._settings)

    def log_odds(self, prompts: Sequence[PromptFeatures]) -> Floats:
        """See `Estimator`."""
        if self.fitted is None:
            raise ValueError("fit before asking")
        return bounded(np.array([self.fitted.model.log_odds(prompt)[0][:-1] for prompt in prompts]))


def to_log_odds(chances: Floats) -> Floats:
    """Log odds of chances, held within what any estimator may believe."""
    bound = 1.0 / (1.0 + np.exp(MOST_LOG_ODDS))
    inside = np.clip(chances, bound, 1.0 - bound)
    return bounded(np.log(inside / (1.0 - inside)))


def bounded(log_odds: Floats) -> Floats:
    """Log odds within what any estimator may believe."""
    return np.clip(log_odds, -MOST_LOG_ODDS, MOST_LOG_ODDS)
