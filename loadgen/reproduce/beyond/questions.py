"""The questions: recorded ones in English, the same in Japanese and Chinese, and facts to be found in long contexts.

* Short English questions are ZeroEval's GSM and CRUX with the recorded answers of the fleet's five models.
* Short Japanese and Chinese ones are the GSM questions again. A right answer becomes a wrong one with the probability that
  brings the model's accuracy down by the measured loss of log odds (self-translate on MGSM), less for larger models.
* Long ones ask for a fact in 4K to 48K tokens. Each model's accuracy falls with the length as that of a measured model
  does (LongChat's lines, BABILong's qa1), by language as above.

Where outcomes are drawn, one latent difficulty per question makes the models' failures hang together (Gaussian copula).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from extproc.estimate.quality.priors import SLOPE
from loadgen.questions.question import Question, QuestionSet
from loadgen.reproduce.laar.curves import Measurements
from loadgen.workload.prompts import TextSource

CORRELATION = SLOPE**2 / (SLOPE**2 + math.pi**2 / 3.0)
"""Of two models' difficulties with one question: what a logistic model of slope a implies, a²/(a² + π²/3)."""

LANGUAGES: Mapping[str, str] = {"en": "prose", "ja": "ja", "zh": "zh"}
"""Kind of text by language."""

SHARES: Mapping[str, float] = {"short en": 0.64, "short ja": 0.10, "short zh": 0.10, "long": 0.16}
"""Share of the requests: a sixth has long contexts; in Azure's trace a fifth has more than 2K tokens."""

LONG_LANGUAGES: Sequence[tuple[str, float]] = (("en", 0.6), ("ja", 0.2), ("zh", 0.2))
LONG_TOKENS = (4_096, 49_152)
"""Long prompts, log-uniform between these."""

LONG_OUTPUT_TOKENS = (60.0, 0.35)
"""Answers about a long context: median and spread of the logarithm."""

TRANSLATED, LONG_TRAINING, LONG_HELD_OUT = 150, 220, 180
"""Questions of each kind: translated ones per language and part, long ones per part."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """Whose measurements stand for a tier.

    Attributes:
        source: Name of the curve over the length.
        stretch: Length at which the tier is what its source is at length 1: a larger window.
        abroad: Share of the measured losses outside English that it has; larger models lose less.
    """

    source: str
    stretch: float
    abroad: float


ROLES: Sequence[Role] = (
    Role(source="mpt-7b-storywriter", stretch=1.0, abroad=1.0),
    Role(source="babilong", stretch=1.0, abroad=0.8),
    Role(source="mpt-30b-chat", stretch=6.0, abroad=0.8),
    Role(source="longchat-7b-16k", stretch=2.0, abroad=0.5),
    Role(source="longchat-13b-16k", stretch=4.0, abroad=0.3),
)
"""Smallest tier first. The third is good up to its window and collapses beyond; the second falls slowly: ranks cross."""


def mix_questions(base: QuestionSet, measured: Measurements, *, seed: int) -> QuestionSet:
    """Put the study's questions together, each part from its own half of the recorded ones.

    Args:
        base: Short English questions; those of kind `gsm` are asked in the other languages too.
        measured: Curves over the length, and losses by language.
        seed: Same seed, same questions.
    """
    rng = np.random.default_rng(seed)
    maker = _Maker(base.models, measured, TextSource(seed), rng)
    return QuestionSet(
        name="beyond",
        models=base.models,
        training=(*base.training, *maker.others(base.training, LONG_TRAINING, "learn")),
        held_out=(*base.held_out, *maker.others(base.held_out, LONG_HELD_OUT, "ask")),
        is_recorded=base.is_recorded and measured.is_recorded,
    )


def draw_traffic(questions: Sequence[Question], count: int, rng: np.random.Generator) -> list[Question]:
    """Draw requests with replacement, each group with its share."""
    groups = {name: [one for one in questions if _group(one) == name] for name in SHARES}
    names = list(SHARES)
    drawn = rng.choice(len(names), size=count, p=[SHARES[name] for name in names])
    return [
        groups[names[number]][int(position * len(groups[names[number]]))]
        for number, position in zip(drawn, rng.random(count), strict=True)
    ]


def _group(question: Question) -> str:
    kind, _, language = question.kind.partition(" ")
    return "long" if kind == "find" else f"short {language or 'en'}"


class _Maker:
    """Makes what is not recorded."""

    def __init__(
        self, models: Sequence[str], measured: Measurements, texts: TextSource, rng: np.random.Generator
    ) -> None:
        self._models = models
        self._curves = measured.curves
        self._shifts = {"en": 0.0, "ja": measured.japanese, "zh": measured.chinese}
        self._texts = texts
        self._rng = rng

    def others(self, base: Sequence[Question], long: int, part: str) -> Iterator[Question]:
        """Translated questions, then long ones."""
        sources = [question for question in base if question.kind == "gsm"]
        for language in ("ja", "zh"):
            lost = self._lost(sources, language)
            chosen = self._rng.permutation(len(sources))[:TRANSLATED]
            for index in chosen:
                yield self._translated(sources[index], language, lost)
        languages = [language for language, _ in LONG_LANGUAGES]
        shares = [share for _, share in LONG_LANGUAGES]
        low, high = np.log(LONG_TOKENS)
        for number in range(long):
            language = languages[int(self._rng.choice(len(languages), p=shares))]
            tokens = round(math.exp(self._rng.uniform(low, high)))
            yield self._long(f"long-{part}-{number}", language, tokens)

    def _lost(self, sources: Sequence[Question], language: str) -> list[float]:
        """Share of each model's right answers that are lost in a language."""
        found = []
        for model, role in zip(self._models, ROLES, strict=True):
            right = sum(question.correct[model] for question in sources) / len(sources)
            right = min(0.99, max(0.01, right))
            odds = math.log(right / (1.0 - right)) + role.abroad * self._shifts[language]
            found.append(1.0 - _sigmoid(odds) / right)
        return found

    def _translated(self, question: Question, language: str, lost: Sequence[float]) -> Question:
        keeps = [value < _quantile(1.0 - share) for value, share in zip(self._latents(), lost, strict=True)]
        key = f"{question.key}-{language}"
        return Question(
            key=key,
            kind=f"gsm {language}",
            text=self._texts.text(LANGUAGES[language], question.prompt_tokens, key),
            prompt_tokens=question.prompt_tokens,
            correct={
                model: question.correct[model] and kept
                for model, kept in zip(self._models, keeps, strict=True)
            },
            output_tokens=question.output_tokens,
        )

    def _long(self, key: str, language: str, tokens: int) -> Question:
        correct = {
            model: value < _quantile(self._chance(role, tokens, language))
            for model, role, value in zip(self._models, ROLES, self._latents(), strict=True)
        }
        median, spread = LONG_OUTPUT_TOKENS
        lengths = median * np.exp(spread * self._rng.standard_normal(len(self._models)))
        return Question(
            key=key,
            kind=f"find {language}",
            text=self._texts.text(LANGUAGES[language], tokens, key),
            prompt_tokens=tokens,
            correct=correct,
            output_tokens={
                model: max(1, round(float(length)))
                for model, length in zip(self._models, lengths, strict=True)
            },
        )

    def _chance(self, role: Role, tokens: float, language: str) -> float:
        curve = self._curves[role.source]
        odds = curve.log_odds(tokens / role.stretch) + role.abroad * self._shifts[language]
        return min(0.98, max(0.01, _sigmoid(odds)))

    def _latents(self) -> list[float]:
        """Standard normal difficulties of one question, one per model, correlated."""
        common = self._rng.standard_normal()
        own = self._rng.standard_normal(len(self._models))
        mixed: list[float] = (math.sqrt(CORRELATION) * common + math.sqrt(1.0 - CORRELATION) * own).tolist()
        return mixed


def _sigmoid(odds: float) -> float:
    return 1.0 / (1.0 + math.exp(-odds))


def _quantile(share: float) -> float:
    return NormalDist().inv_cdf(min(0.999999, max(0.000001, share)))
