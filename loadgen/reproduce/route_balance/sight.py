"""What each published router knows of a question before it is asked, learned from the training part.

Questions are seen through hashed words weighted by inverse document frequency, the same for every router here; the
papers see them through sentence embeddings (MiniLM) or a fine-tuned encoder (DeBERTa). Everything is worked out before
a run starts: deciding takes no time, whoever decides, so that only what is decided is compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import sparse
from sklearn.cluster import KMeans
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from extproc.estimate.quality.model import QualityModel
from extproc.fit.design import Design, gram_matrix, learn_design
from extproc.fit.table import describe_prompt
from loadgen.questions.question import Question

Floats = npt.NDArray[np.float64]

NEIGHBOURS: Final = 10
LEAST_DISTANCE: Final = 1e-6
DIRECTIONS: Final = 32
"""Of the words, for whoever needs dense rows."""

QUESTIONS_PER_CLUSTER: Final = 30
MOST_CLUSTERS: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """By question, in the order of the models; row i belongs to the i-th key.

    Attributes:
        rows: Row of each question by its key.
        models: The fleet's models, smallest first.
        near_quality: Mean correctness of the nearest training questions, shape (questions, models).
        near_tokens: Their mean output tokens, the same.
        fitted_quality: This service's estimate of the chance, the same.
        sufficient: P(the smallest model that suffices is this one), the same.
        cluster_quality: Mean correctness in the question's cluster, the same.
        cluster_usd: Mean price of an answer in the question's cluster, the same.
    """

    rows: Mapping[str, int]
    models: tuple[str, ...]
    near_quality: Floats
    near_tokens: Floats
    fitted_quality: Floats
    sufficient: Floats
    cluster_quality: Floats
    cluster_usd: Floats

    def row(self, question: Question) -> int:
        """Row of a question."""
        return self.rows[question.key]


def look(
    training: Sequence[Question],
    asked: Sequence[Question],
    *,
    models: Sequence[str],
    usd: Floats,
    quality: QualityModel,
    seed: int,
) -> Sight:
    """Learn from training questions and look at others.

    Args:
        training: Questions whose answers are known, at least one.
        asked: Questions to look at.
        models: The fleet's models, smallest first.
        usd: Price of each model's answer to each training question, shape (training, models).
        quality: This service's model, fitted to the same training questions.
        seed: Of projections and clusters.
    """
    # Several columns of one product are cheaper on one thread than on many that wait for each other.
    with threadpool_limits(limits=1):
        known = [describe_prompt(question.text) for question in training]
        design = learn_design(known, DIRECTIONS, seed)
        words = design.words(gram_matrix(known))
        seen = [describe_prompt(question.text) for question in asked]
        asked_words = design.words(gram_matrix(seen))
        correct = _column(training, models, "correct")
        near, weights = nearest(words, asked_words)
        dense, asked_dense = _dense(design, words), _dense(design, asked_words)
        cluster = _Clusters(dense, seed)
        odds = np.array([quality.log_odds(prompt)[0][: len(models)] for prompt in seen])
        return Sight(
            rows={question.key: row for row, question in enumerate(asked)},
            models=tuple(models),
            near_quality=np.einsum("qk,qkm->qm", weights, correct[near]),
            near_tokens=np.einsum("qk,qkm->qm", weights, _column(training, models, "output_tokens")[near]),
            fitted_quality=1.0 / (1.0 + np.exp(-odds)),
            sufficient=_sufficient(dense, correct, asked_dense),
            cluster_quality=cluster.means(correct, asked_dense),
            cluster_usd=cluster.means(usd, asked_dense),
        )


def nearest(known: sparse.csr_matrix, asked: sparse.csr_matrix) -> tuple[npt.NDArray[np.int64], Floats]:
    """The ten nearest known rows by cosine, and their weights 1 / (distance + 1e-6), which sum to 1.

    Args:
        known: Rows of length 1.
        asked: The same.

    Returns:
        Indices and weights, both of shape (asked, neighbours).
    """
    count = min(NEIGHBOURS, known.shape[0])
    found = np.empty((asked.shape[0], count), dtype=np.int64)
    weights = np.empty((asked.shape[0], count))
    for start in range(0, asked.shape[0], 512):
        block = (asked[start : start + 512] @ known.T).toarray()
        near = np.argpartition(-block, count - 1, axis=1)[:, :count]
        distance = np.maximum(1.0 - np.take_along_axis(block, near, axis=1), 0.0)
        weight = 1.0 / (distance + LEAST_DISTANCE)
        found[start : start + 512] = near
        weights[start : start + 512] = weight / weight.sum(axis=1, keepdims=True)
    return found, weights


def smallest_sufficient(correct: Floats) -> npt.NDArray[np.int64]:
    """By question the smallest model that is right; -1 where none is."""
    found: npt.NDArray[np.int64] = np.where(correct.any(axis=1), correct.argmax(axis=1), -1)
    return found


class _Clusters:
    """k-means on the training rows."""

    def __init__(self, rows: Floats, seed: int) -> None:
        self._rows = rows
        distinct = len(np.unique(rows.round(6), axis=0))
        count = max(1, min(MOST_CLUSTERS, len(rows) // QUESTIONS_PER_CLUSTER, distinct))
        self._fit = KMeans(count, n_init=4, random_state=seed).fit(rows)

    def means(self, values: Floats, asked: Floats) -> Floats:
        """Mean of each column in the cluster of each asked row."""
        count = len(self._fit.cluster_centers_)
        sums = np.zeros((count, values.shape[1]))
        np.add.at(sums, self._fit.labels_, values)
        sizes = np.bincount(self._fit.labels_, minlength=count)[:, np.newaxis]
        overall = values.mean(axis=0)
        means = np.where(sizes > 0, sums / np.maximum(sizes, 1), overall)
        result: Floats = means[self._fit.predict(asked)]
        return result


def _sufficient(rows: Floats, correct: Floats, asked: Floats) -> Floats:
    """P(each model is the smallest that suffices), by multinomial logistic regression.

    Questions that no model answers say nothing of which one suffices.
    """
    labels = smallest_sufficient(correct)
    is_known = labels >= 0
    chances = np.zeros((len(asked), correct.shape[1]))
    present = np.unique(labels[is_known])
    if len(present) < 2:
        chances[:, present if len(present) else 0] = 1.0
        return chances
    fit = LogisticRegression(C=1.0, max_iter=500).fit(rows[is_known], labels[is_known])
    chances[:, fit.classes_] = fit.predict_proba(asked)
    return chances


def _dense(design: Design, words: sparse.csr_matrix) -> Floats:
    """Rows projected to the design's directions, scaled to length 1; one column of zeros where there are none."""
    rows = np.asarray(words @ design.directions)
    if not rows.shape[1]:
        return np.zeros((words.shape[0], 1))
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    result: Floats = np.divide(rows, length, out=np.zeros_like(rows), where=length > 0)
    return result


def _column(questions: Sequence[Question], models: Sequence[str], name: str) -> Floats:
    return np.array([[float(getattr(question, name)[model]) for model in models] for question in questions])
