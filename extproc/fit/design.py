"""From prompts to the matrix that is fitted: standardised numbers, and words projected to a few directions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import sparse
from sklearn.utils.extmath import randomized_svd

from extproc.estimate.quality.features import NUMBERS, PromptFeatures
from extproc.facts.grams import GRAMS

Floats = npt.NDArray[np.float64]

LEAST_DOCUMENTS: Final = 2
"""Documents that a gram must be in to bear on the chances; rarer ones only make a prompt a novel one."""

TAIL: Final = 0.01
"""Share of prompts at either end of a number's range that are taken as at its end."""

LEAST_RANK: Final = 128
WORK: Final = 540_000
"""Directions times prompts, beyond which there are fewer directions, down to `LEAST_RANK`: the time of a fit goes with the
prompts times the square of the directions, and small tables are those that more directions help. By these, few prompts keep
all that their words say: where models differ need not be where prompts differ most."""

EXACT: Final = 1_200
"""Prompts up to which directions are eigenvectors of the prompts' similarities, exact and faster than by sampling."""

_FAINT: Final = 1e-6
"""Share of the greatest eigenvalue below which a direction is rounding."""

_PASSES: Final = 2
"""Power iterations: what is sought is a good space of directions, not each singular vector to the last digit."""

NUMBER_SCALE: Final = 1.0
WORD_SCALE: Final = 6.0
"""Columns are scaled so that one ridge penalty fits numbers and words: the greater, the less a column is penalised."""


@dataclass(frozen=True, slots=True)
class Design:
    """How prompts become rows of a matrix, learned from some of them.

    Attributes:
        centre, spread, least, most: Of each number, shape (numbers,); a number that hardly varies has spread 0 and is
            left out.
        scale: Inverse document frequency of each gram, shape (GRAMS,).
        documents: Prompts that have each gram, shape (GRAMS,).
        directions: Shape (GRAMS, directions); no direction when prompts have no words.
    """

    centre: Floats
    spread: Floats
    least: Floats
    most: Floats
    scale: Floats
    documents: Floats
    directions: Floats

    def matrix(self, prompts: Sequence[PromptFeatures]) -> Floats:
        """Rows for prompts: first the numbers, then the directions."""
        numbers = np.clip(number_matrix(prompts), self.least, self.most) - self.centre
        scaled = numbers * np.divide(
            NUMBER_SCALE, self.spread, out=np.zeros_like(self.spread), where=self.spread > 0
        )
        words = self.words(gram_matrix(prompts)) @ self.directions
        return np.hstack([scaled, WORD_SCALE * words])

    def words(self, grams: sparse.csr_matrix) -> sparse.csr_matrix:
        """Rows of length 1, weighted by inverse document frequency."""
        weighted = grams.multiply(self.scale).tocsr()
        length = np.sqrt(np.asarray(weighted.multiply(weighted).sum(axis=1)).ravel())
        return sparse.diags(np.divide(1.0, length, out=np.zeros_like(length), where=length > 0)) @ weighted


def learn_design(prompts: Sequence[PromptFeatures], directions: int, seed: int) -> Design:
    """Learn ranges, frequencies and directions (truncated singular value decomposition) from prompts."""
    numbers = number_matrix(prompts)
    grams = gram_matrix(prompts)
    documents = np.asarray(grams.sum(axis=0), dtype=np.float64).ravel()
    scale = np.log((1.0 + len(prompts)) / (1.0 + documents))
    least, most = np.quantile(numbers, TAIL, axis=0), np.quantile(numbers, 1.0 - TAIL, axis=0)
    clipped = np.clip(numbers, least, most)
    spread = clipped.std(axis=0)
    design = Design(
        centre=clipped.mean(axis=0),
        spread=np.where(spread > 1e-3, spread + 1e-3, 0.0),
        least=least,
        most=most,
        scale=scale,
        documents=documents,
        directions=np.zeros((GRAMS, 0)),
    )
    words = design.words(grams) @ sparse.diags((documents >= LEAST_DOCUMENTS).astype(np.float64))
    words.eliminate_zeros()
    rank = min(directions, len(prompts), max(LEAST_RANK, WORK // len(prompts))) if words.nnz else 0
    if not rank:
        return design
    return Design(
        centre=design.centre,
        spread=design.spread,
        least=least,
        most=most,
        scale=scale,
        documents=documents,
        directions=_directions(words, rank, seed),
    )


def _directions(words: sparse.csr_matrix, rank: int, seed: int) -> Floats:
    """The `rank` strongest orthonormal directions of the rows, or as many as there are; shape (GRAMS, directions)."""
    if words.shape[0] > EXACT:
        _, _, rows = randomized_svd(words, rank, n_iter=_PASSES, random_state=seed)
        return np.ascontiguousarray(rows.T, dtype=np.float64)
    squares, vectors = np.linalg.eigh((words @ words.T).toarray())
    squares, vectors = squares[::-1][:rank], vectors[:, ::-1][:, :rank]
    real = squares > _FAINT * squares[0]
    return np.ascontiguousarray(words.T @ (vectors[:, real] / np.sqrt(squares[real])), dtype=np.float64)


def number_matrix(prompts: Sequence[PromptFeatures]) -> Floats:
    """The numbers of each prompt, shape (prompts, numbers)."""
    return np.array([prompt.numbers for prompt in prompts], dtype=np.float64).reshape(-1, len(NUMBERS))


def gram_matrix(prompts: Sequence[PromptFeatures]) -> sparse.csr_matrix:
    """1 where a prompt has a gram, shape (prompts, GRAMS)."""
    found = [np.frombuffer(prompt.grams, dtype="<u2") for prompt in prompts]
    ends = np.concatenate(([0], np.cumsum([len(grams) for grams in found])))
    columns = np.concatenate(found).astype(np.int32)
    return sparse.csr_matrix((np.ones(len(columns)), columns, ends), shape=(len(prompts), GRAMS))
