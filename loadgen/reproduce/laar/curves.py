"""How accuracy falls with length and language, measured on other models: the shapes of the study's tables.

LAAR's own accuracies are not public. Each role takes the curve of a measured model on a task like it (a line to be found by its
number among many, a fact in a long text); the curve is a logistic one over the logarithm of the length. Needles in haystacks were
measured on closed models alone and are left out.
"""

from __future__ import annotations

import csv
import gzip
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
from sklearn.linear_model import LogisticRegression

REFERENCE_TOKENS = 8_192
"""Length at which a curve's bias is its log odds."""

LEAST_PENALTY = 100.0
"""Inverse of the ridge on slopes: all but none."""

BABILONG_LENGTHS = range(4_000, 64_001)
"""Beyond, Phi-3-mini falls off a cliff that lies outside the study."""

LEAST_ACCURACY = 0.1
"""Models that are worse in English than this tell nothing of other languages."""

MGSM_QUESTIONS = 250


@dataclass(frozen=True, slots=True)
class Curve:
    """P(correct) = sigmoid(bias + slope · log2(length / 8192 tokens))."""

    bias: float
    slope: float

    def log_odds(self, tokens: float) -> float:
        """Log odds at a length."""
        return self.bias + self.slope * math.log2(tokens / REFERENCE_TOKENS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurements:
    """What was measured on other models.

    Attributes:
        curves: By name: `babilong` (Phi-3-mini-128k, task qa1) and the five models of LongChat's line retrieval.
        japanese, chinese: Change of the log odds against English: median over the models of self-translate on MGSM.
        is_recorded: False when the figures below stand in for the data folder.
    """

    curves: Mapping[str, Curve]
    japanese: float
    chinese: float
    is_recorded: bool


FITTED = Measurements(
    curves={
        "babilong": Curve(0.70, -0.26),
        "chatglm2-6b": Curve(-1.99, -1.39),
        "longchat-13b-16k": Curve(2.66, -1.87),
        "longchat-7b-16k": Curve(2.13, -2.40),
        "mpt-30b-chat": Curve(-3.49, -4.68),
        "mpt-7b-storywriter": Curve(-1.06, -0.36),
    },
    japanese=-1.40,
    chinese=-0.79,
    is_recorded=False,
)
"""Fits to `booydar/babilong`, `DachengLi1/LongChat` and `juletx/self-translate`, as `read_measurements` makes them."""


def find_measurements(folder: Path | None) -> Measurements:
    """Fit to the data folder, or take the figures of an earlier fit when there is none.

    Raises:
        FileNotFoundError: The folder is there, but a file is missing.
    """
    return FITTED if folder is None else read_measurements(folder / "long_context")


def read_measurements(folder: Path) -> Measurements:
    """Fit to the files of a folder: `babilong`, `longchat` and `self_translate`, each `.csv.gz`.

    Raises:
        FileNotFoundError: One is missing.
        ValueError: One has no usable row.
    """
    points: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for row in _rows(folder / "babilong.csv.gz"):
        tokens = int(row["length_tokens"])
        if row["task"] == "qa1" and row["with_instruction"] == "1" and tokens in BABILONG_LENGTHS:
            points["babilong"].append((tokens, float(row["correct"])))
    for row in _rows(folder / "longchat.csv.gz"):
        if row["task"] == "lines":
            points[row["model"]].append((float(row["prompt_tokens"]), float(row["correct"])))
    japanese, chinese = _language_shifts(folder / "self_translate.csv.gz")
    return Measurements(
        curves={name: fit_curve(found) for name, found in points.items()},
        japanese=japanese,
        chinese=chinese,
        is_recorded=True,
    )


def fit_curve(points: list[tuple[float, float]]) -> Curve:
    """Fit a curve to (tokens, correct) by maximum likelihood.

    Raises:
        ValueError: All answers are right, or all wrong.
    """
    lengths = np.log2([[tokens / REFERENCE_TOKENS] for tokens, _ in points])
    fit = LogisticRegression(C=LEAST_PENALTY).fit(lengths, [round(correct) for _, correct in points])
    return Curve(float(fit.intercept_[0]), float(fit.coef_[0, 0]))


def _language_shifts(path: Path) -> tuple[float, float]:
    """Median change of the log odds in Japanese and in Chinese, asked directly."""
    accuracy: dict[str, dict[str, float]] = defaultdict(dict)
    for row in _rows(path):
        if row["task"] == "mgsm" and not row["translator"]:
            accuracy[row["model"]][row["language"]] = float(row["accuracy"])
    known = [found for found in accuracy.values() if found.get("en", 0.0) >= LEAST_ACCURACY]
    if not known:
        raise ValueError(f"{path}: no model answers {LEAST_ACCURACY:.0%} of the English questions")
    japanese, chinese = (
        median(_odds_of(found[language]) - _odds_of(found["en"]) for found in known)
        for language in ("ja", "zh")
    )
    return japanese, chinese


def _odds_of(accuracy: float) -> float:
    right = accuracy * MGSM_QUESTIONS
    return math.log((right + 0.5) / (MGSM_QUESTIONS - right + 0.5))


def _rows(path: Path) -> Iterator[dict[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)
