"""The trials of the token estimates: online accuracy, speed of learning, routing around a limit, output lengths."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from extproc.estimate.output_length import OutputLengthEstimator
from extproc.facts.text import TextProfile, profile_text
from loadgen.token_rivals import TokenEstimator
from loadgen.token_samples import VOCABULARIES, Sample

Floats = npt.NDArray[np.float64]
Makers = Mapping[str, Callable[[], TokenEstimator]]

RESAMPLES = 400
THRESHOLD_TOKENS = 8192
CONVERGENCE_SAMPLES = 50
CONVERGENCE_RUNS = 10
DOCUMENTS = 600
DOCUMENT_BYTES = (4_000, 240_000)


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean with its 95 % bootstrap interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Stream:
    """What one estimator predicted for one vocabulary, in order; arrays of the same length.

    Attributes:
        expected: Predicted tokens.
        upper: Conservative tokens.
        true: True tokens.
        groups: Group of each text.
    """

    expected: Floats
    upper: Floats
    true: Floats
    groups: npt.NDArray[np.str_]

    def error(self) -> Floats:
        """Absolute relative error of the expected count."""
        return np.abs(self.expected / self.true - 1.0)

    def is_under(self) -> Floats:
        """1 where the expected count is below the true one."""
        return (self.expected < self.true).astype(float)

    def is_upper_under(self) -> Floats:
        """1 where the conservative count is below the true one."""
        return (self.upper < self.true).astype(float)

    def slack(self) -> Floats:
        """How far the conservative count lies above the true one, relative to it."""
        return self.upper / self.true - 1.0


def interval(values: Floats, rng: np.random.Generator) -> Interval:
    """Mean of `values` with the 2.5 % and 97.5 % quantiles of the mean of resamples."""
    draws = rng.integers(0, len(values), (RESAMPLES, len(values)))
    low, high = np.quantile(values[draws].mean(axis=1), [0.025, 0.975])
    return Interval(float(values.mean()), float(low), float(high))


def stream(
    estimator: TokenEstimator,
    samples: Sequence[Sample],
    order: Sequence[int],
    vocabulary: str,
    *,
    learn: bool,
) -> Stream:
    """Predict each text, then learn its count; with `learn` false, the estimator stays cold."""
    expected, upper, true, groups = [], [], [], []
    for index in order:
        sample = samples[index]
        if vocabulary not in sample.tokens:
            continue
        tokens, most = estimator.predict(sample.profile)
        expected.append(tokens)
        upper.append(most)
        true.append(sample.tokens[vocabulary])
        groups.append(sample.group)
        if learn:
            estimator.learn(sample.profile, sample.tokens[vocabulary])
    return Stream(
        expected=np.array(expected, dtype=float),
        upper=np.array(upper, dtype=float),
        true=np.array(true, dtype=float),
        groups=np.array(groups),
    )


def converge(
    makers: Makers, samples: Sequence[Sample], rng: np.random.Generator
) -> dict[str, dict[str, tuple[float, float]]]:
    """Error after `CONVERGENCE_SAMPLES` texts of one group, by group and estimator.

    Returns:
        Mean over vocabularies and runs of the error of the summed tokens, and of the mean error per text.
    """
    groups = sorted({sample.group for sample in samples})
    results: dict[str, dict[str, tuple[float, float]]] = {}
    for group in groups:
        members = [sample for sample in samples if sample.group == group]
        if len(members) < 2 * CONVERGENCE_SAMPLES:
            continue
        orders = [rng.permutation(len(members)).tolist() for _ in range(CONVERGENCE_RUNS)]
        results[group] = {name: _converged(make, members, orders) for name, make in makers.items()}
    return results


def _converged(
    make: Callable[[], TokenEstimator], members: Sequence[Sample], orders: Sequence[list[int]]
) -> tuple[float, float]:
    sums, means = [], []
    for order in orders:
        for vocabulary in VOCABULARIES:
            estimator = make()
            stream(estimator, members, order[:CONVERGENCE_SAMPLES], vocabulary, learn=True)
            rest = stream(estimator, members, order[CONVERGENCE_SAMPLES:], vocabulary, learn=False)
            sums.append(abs(float(rest.expected.sum() / rest.true.sum()) - 1.0))
            means.append(float(rest.error().mean()))
    return float(np.mean(sums)), float(np.mean(means))


@dataclass(frozen=True, slots=True)
class Document:
    """A long prompt made of samples, with its count by vocabulary."""

    profile: TextProfile
    tokens: Mapping[str, int]


def documents(samples: Sequence[Sample], rng: np.random.Generator) -> list[Document]:
    """Long prompts of log-uniform size: half from one group, half from three, counted as the sum of their parts."""
    counted = [sample for sample in samples if len(sample.tokens) == len(VOCABULARIES)]
    groups = sorted({sample.group for sample in counted})
    by_group = {group: [sample for sample in counted if sample.group == group] for group in groups}
    made = []
    for number in range(DOCUMENTS):
        size = float(np.exp(rng.uniform(*np.log(DOCUMENT_BYTES))))
        chosen = rng.choice(groups, 1 if number % 2 else 3, replace=False)
        parts: list[Sample] = []
        for group in chosen:
            members = by_group[group]
            left = size / len(chosen)
            while left > 0:
                parts.append(members[int(rng.integers(len(members)))])
                left -= parts[-1].profile.total_bytes
        tokens = {name: sum(part.tokens[name] for part in parts) for name in VOCABULARIES}
        # A line break between two texts joins the token of the punctuation before it.
        made.append(Document(profile_text(["\n".join(part.text for part in parts)]), tokens))
    return made


@dataclass(frozen=True, slots=True)
class Misroutes:
    """Shares of all long prompts that a threshold sends to the wrong side.

    Attributes:
        false_short: Over the limit, taken for under it: the instance would reject them.
        false_long: Under the limit, taken for over it: they occupy the costly pool.
    """

    false_short: float
    false_long: float


def misroutes(
    estimators: Mapping[str, TokenEstimator], made: Sequence[Document], *, upper: bool
) -> Misroutes:
    """Route long prompts by the expected or the conservative count, over all vocabularies.

    Args:
        estimators: One by vocabulary, already taught.
        made: The prompts.
        upper: True to route by the conservative count.
    """
    short, long, total = 0, 0, 0
    for vocabulary, estimator in estimators.items():
        for document in made:
            estimate = estimator.predict(document.profile)[1 if upper else 0]
            is_over = document.tokens[vocabulary] > THRESHOLD_TOKENS
            short += is_over and estimate <= THRESHOLD_TOKENS
            long += not is_over and estimate > THRESHOLD_TOKENS
            total += 1
    return Misroutes(short / total, long / total)


def output_coverage(lengths: Sequence[int], quantiles: Sequence[float]) -> dict[float, tuple[float, float]]:
    """Share of answers within each predicted quantile, each predicted before it is learned, and the mean provided."""
    estimator = OutputLengthEstimator()
    within = dict.fromkeys(quantiles, 0)
    provided = dict.fromkeys(quantiles, 0)
    empty = TextProfile()
    for length in lengths:
        for quantile in quantiles:
            predicted = estimator.predict("model", empty, quantile)
            within[quantile] += length <= predicted
            provided[quantile] += predicted
        estimator.learn("model", empty, length, was_cut=False)
    return {
        quantile: (within[quantile] / len(lengths), provided[quantile] / len(lengths))
        for quantile in quantiles
    }
