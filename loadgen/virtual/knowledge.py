"""What a policy may know of a question before it is asked: chances by model, and how they hang together.

One latent difficulty e per question (two-parameter logistic model of item response theory, Birnbaum 1968):

    P(model m is right | question x, e) = sigmoid(a_m · (w·x + e) + b_m + c_m·x),    e standard normal

with x the question's features. Given e the models are independent; a failure makes a large e less likely.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from extproc.facts.text import Category, profile_text
from loadgen.questions.question import Question

Floats = npt.NDArray[np.float64]

NODES: Floats = np.linspace(-3.5, 3.5, 21)
"""Values of the latent difficulty over which the normal distribution is summed."""

LEAST_KANA = 0.25
"""Share of kana among kana and Chinese characters from which on a text is Japanese."""

STEPS = 250
STEP_SIZE = 0.05
RIDGE = 3e-3
"""Steps and step size of Adam (Kingma and Ba 2015), and the penalty on squared weights of features."""


class Level(StrEnum):
    """How much of a question is looked at."""

    MODEL = "model"
    """Nothing: each model's accuracy over all questions."""
    LENGTH = "length"
    """The prompt's length, as LAAR does where all speak one language."""
    LANGUAGE = "language"
    """Length, and whether the text is Japanese or Chinese, as LAAR does."""
    TEXT = "text"
    """Length, digits, numbers, symbols and line breaks."""


@dataclass(frozen=True, slots=True)
class Chances:
    """P(correct) of every model at every value of the latent difficulty.

    Attributes:
        weights: P(difficulty), shape (nodes,), summing to 1.
        table: Shape (models, nodes).
    """

    weights: Floats
    table: Floats

    def marginal(self) -> Floats:
        """P(correct) of each model before anything was tried, shape (models,)."""
        result: Floats = self.table @ self.weights
        return result

    def all_fail(self) -> list[float]:
        """P(every model of a set fails) by set, bit m of the index standing for model m; entry 0 is 1."""
        rest = self.weights[np.newaxis, :]
        for row in self.table:
            rest = np.concatenate([rest, rest * (1.0 - row)])
        result: list[float] = rest.sum(axis=1).tolist()
        return result


class Knowledge:
    """Chances of a fleet's models, fitted to questions whose answers are known.

    Args:
        training: Questions to learn from, at least one.
        models: The fleet's models.
        level: How much of a question is looked at.
        is_coupled: False for models that fail independently of one another given the features.

    Raises:
        ValueError: There is nothing to learn from.
    """

    def __init__(
        self, training: Sequence[Question], models: Sequence[str], *, level: Level, is_coupled: bool = True
    ) -> None:
        if not training:
            raise ValueError("no questions to learn from")
        self.models = tuple(models)
        self._level = level
        raw = np.array([features(question, level) for question in training])
        self._mean, self._scale = raw.mean(axis=0), raw.std(axis=0) + 1e-6
        answers = np.array([[question.correct[model] for model in models] for question in training], float)
        nodes = NODES if is_coupled else np.zeros(1)
        weights = np.exp(-0.5 * nodes**2)
        self._nodes, self._weights = nodes, weights / weights.sum()
        self._fit = _fit((raw - self._mean) / self._scale, answers, nodes, self._weights)
        self._known: dict[str, Chances] = {}

    def chances(self, question: Question) -> Chances:
        """The chances of a question; computed once for each key."""
        found = self._known.get(question.key)
        if found is None:
            fit = self._fit
            values = (features(question, self._level) - self._mean) / self._scale
            ability = float(values @ fit.common) + self._nodes
            odds = fit.slopes[:, np.newaxis] * ability + (fit.bias + values @ fit.own)[:, np.newaxis]
            found = self._known[question.key] = Chances(self._weights, _sigmoid(odds))
        return found

    def log_likelihood(self, questions: Sequence[Question]) -> float:
        """Mean over questions of log P(the answers of all models), natural logarithm."""
        total = 0.0
        for question in questions:
            chances = self.chances(question)
            right = np.array([question.correct[model] for model in self.models])[:, np.newaxis]
            likelihood = np.where(right, chances.table, 1.0 - chances.table).prod(axis=0)
            total += math.log(max(float(likelihood @ chances.weights), 1e-300))
        return total / len(questions)


class Oracle:
    """Knows every answer beforehand: the bound that no estimate can pass."""

    def __init__(self, models: Sequence[str]) -> None:
        self.models = tuple(models)

    def chances(self, question: Question) -> Chances:
        """Chances of 0 and 1."""
        right = [[float(question.correct[model])] for model in self.models]
        return Chances(np.ones(1), np.array(right))


class ExpectedLengths:
    """Mean tokens of each model's answers to questions of a kind."""

    def __init__(self, training: Sequence[Question], models: Sequence[str]) -> None:
        self._overall = _means(training, models)
        kinds = {question.kind for question in training}
        self._by_kind: Mapping[str, Floats] = {
            kind: _means([question for question in training if question.kind == kind], models)
            for kind in kinds
        }

    def tokens(self, question: Question) -> Floats:
        """Expected output tokens by model; of all kinds for a kind never seen."""
        return self._by_kind.get(question.kind, self._overall)


def features(question: Question, level: Level) -> Floats:
    """What is looked at of a question."""
    if level is Level.MODEL:
        return np.zeros(0)
    size = math.log(question.prompt_tokens)
    if level is Level.LENGTH:
        return np.array([size, size * size / 5.0])
    text = question.text
    if level is Level.LANGUAGE:
        return np.array([size, size * size / 5.0, *_language(text)])
    characters = max(1, len(text))
    return np.array(
        [
            size,
            size * size / 5.0,
            10.0 * sum(map(str.isdigit, text)) / characters,
            math.log1p(len(re.findall(r"\d+", text))),
            10.0 * sum(text.count(mark) for mark in "{}[]()=_<>\"':") / characters,
            0.1 * text.count("\n"),
            math.log1p(len(text.split())),
        ]
    )


def _language(text: str) -> tuple[float, float]:
    """1 for Japanese, 1 for Chinese; both 0 for anything else. Chinese has a few marks from the page of kana."""
    scripts = dict(profile_text([text]).bytes_by_category)
    kana, han = scripts.get(Category.KANA, 0), scripts.get(Category.HAN, 0)
    is_japanese = kana > LEAST_KANA * (kana + han)
    return float(is_japanese), float(han > 0 and not is_japanese)


@dataclass(frozen=True, slots=True)
class _Fit:
    slopes: Floats
    bias: Floats
    common: Floats
    own: Floats


def _fit(values: Floats, answers: Floats, nodes: Floats, weights: Floats) -> _Fit:
    """Maximise the marginal likelihood, less a ridge on the features' weights, by Adam."""
    count, size = values.shape
    models = answers.shape[1]
    share = np.clip(answers.mean(axis=0), 0.01, 0.99)
    parts = [np.full(models, 1.5), np.log(share / (1 - share)), np.zeros(size), np.zeros((size, models))]
    first, second = [np.zeros_like(part) for part in parts], [np.zeros_like(part) for part in parts]
    log_weights = np.log(weights)
    for step in range(1, STEPS + 1):
        slopes, bias, common, own = parts
        ability = (values @ common)[:, np.newaxis] + nodes
        chance = _sigmoid(ability[:, :, np.newaxis] * slopes + (bias + values @ own)[:, np.newaxis, :])
        right = answers[:, np.newaxis, :]
        fits = np.log(np.where(right > 0, chance, 1 - chance) + 1e-12).sum(axis=2) + log_weights
        posterior = np.exp(fits - fits.max(axis=1, keepdims=True))
        posterior /= posterior.sum(axis=1, keepdims=True)
        error = (right - chance) * posterior[:, :, np.newaxis] / count
        gradients = [
            (error * ability[:, :, np.newaxis]).sum(axis=(0, 1)) * (len(nodes) > 1),
            error.sum(axis=(0, 1)),
            (values.T @ (error @ slopes).sum(axis=1)) * (len(nodes) > 1) - RIDGE * common,
            values.T @ error.sum(axis=1) - 3 * RIDGE * own,
        ]
        size_now = STEP_SIZE if step < 0.7 * STEPS else 0.3 * STEP_SIZE
        for index, gradient in enumerate(gradients):
            first[index] = 0.9 * first[index] + 0.1 * gradient
            second[index] = 0.99 * second[index] + 0.01 * gradient**2
            scale = np.sqrt(second[index] / (1 - 0.99**step)) + 1e-8
            parts[index] = parts[index] + size_now * first[index] / (1 - 0.9**step) / scale
    return _Fit(*parts)


def _means(questions: Sequence[Question], models: Sequence[str]) -> Floats:
    lengths = [[question.output_tokens[model] for model in models] for question in questions]
    result: Floats = np.array(lengths, dtype=np.float64).mean(axis=0)
    return result


def _sigmoid(values: Floats) -> Floats:
    result: Floats = 1.0 / (1.0 + np.exp(-np.clip(values, -30.0, 30.0)))
    return result
