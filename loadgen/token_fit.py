"""Fits the token priors: tokens per byte of each category, by non-negative least squares on relative error."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from extproc.estimate.token_priors import PRIORS, Prior
from extproc.facts.text import Category
from loadgen.token_samples import VOCABULARIES, Sample

Floats = npt.NDArray[np.float64]

GUESS_TOKENS_PER_BYTE = 0.4
"""Where the fit starts from, and stays for categories that it has not seen: between Latin and unknown scripts."""

PULL = 0.02
"""Weight of the guess: keeps categories that always occur together, such as capitals and digits, apart."""


def fit_tokens_per_byte(samples: Sequence[Sample]) -> dict[str, dict[Category, float]]:
    """Fit tokens per byte by vocabulary, for the categories that occur in the samples.

    Each text is weighted by the inverse of its count, so that the fit minimises the squared relative error, and
    each group by the root of its size, so that the common groups do not drown the others.
    """
    sizes = Counter(sample.group for sample in samples)
    column = {category: index for index, category in enumerate(Category)}
    bytes_by_text = np.zeros((len(samples), len(column)))
    for row, sample in enumerate(samples):
        for category, size in sample.profile.bytes_by_category:
            bytes_by_text[row, column[category]] = size
    weights = np.array([sizes[sample.group] ** -0.25 for sample in samples])
    usable = np.flatnonzero(bytes_by_text.any(axis=0)).tolist()
    fits = {}
    for vocabulary in VOCABULARIES:
        counted = np.array([vocabulary in sample.tokens for sample in samples])
        tokens = np.array([sample.tokens.get(vocabulary, 1) for sample in samples], dtype=float)
        scaled = (bytes_by_text / tokens[:, None] * weights[:, None])[counted]
        solution = _non_negative(scaled, weights[counted], usable)
        fits[vocabulary] = {
            category: solution[index] for category, index in column.items() if index in solution
        }
    return fits


def fit_priors(samples: Sequence[Sample]) -> dict[str, Prior]:
    """Priors with the fitted figures, averaged over vocabularies; spread and noise are the service's own."""
    fits = fit_tokens_per_byte(samples)
    priors = dict(PRIORS)
    for category in Category:
        values = [fit.get(category, GUESS_TOKENS_PER_BYTE) for fit in fits.values()]
        prior = priors[category]
        fitted = min(prior.most, max(prior.least, float(np.mean(values))))
        priors[category] = replace(prior, tokens_per_unit=fitted)
    return priors


def _non_negative(design: Floats, target: Floats, columns: list[int]) -> dict[int, float]:
    """Least squares, pulled to the guess; columns that come out negative are dropped, round after round."""
    while True:
        count = len(columns)
        rows = np.concatenate([design[:, columns], np.eye(count) * (PULL**0.5 / GUESS_TOKENS_PER_BYTE)])
        solution = np.linalg.lstsq(rows, np.concatenate([target, np.full(count, PULL**0.5)]), rcond=None)[0]
        kept = [column for column, value in zip(columns, solution, strict=True) if value > 0]
        if len(kept) == count:
            return dict(zip(columns, solution.tolist(), strict=True))
        columns = kept
