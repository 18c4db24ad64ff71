"""Questions drawn from figures fitted to the recorded ones: for machines without the data folder.

Each question has a latent difficulty, and given that the models answer independently (two-parameter logistic model);
answer lengths are log-normal and hang together through a second latent variable. The figures were fitted to ZeroEval
(WildEval/ZeroEval, result folders of gsm and crux) and MMLU-Pro (TIGER-AI-Lab/MMLU-Pro, eval_results): slopes and
biases by marginal maximum likelihood (`loadgen.virtual.knowledge` at level "model", one fit per kind), lengths by the
mean and standard deviation of their logarithms, the correlation as the mean over pairs of models.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from loadgen.questions.question import Question, QuestionSet, split


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFigures:
    """One model on questions of one kind.

    Attributes:
        slope: a of P(correct | e) = sigmoid(a·e + b), e standard normal.
        bias: b.
        log_tokens: Mean of the logarithm of its answers' tokens.
        log_tokens_spread: Standard deviation of that.
    """

    slope: float
    bias: float
    log_tokens: float
    log_tokens_spread: float


@dataclass(frozen=True, slots=True, kw_only=True)
class KindFigures:
    """Questions of one kind.

    Attributes:
        share: Share of all questions of the set.
        log_prompt: Mean of the logarithm of the prompt's tokens.
        log_prompt_spread: Standard deviation of that.
        length_coupling: Square root of the correlation of two models' log lengths.
        models: Figures by model, in the order of the fleet.
    """

    share: float
    log_prompt: float
    log_prompt_spread: float
    length_coupling: float
    models: Mapping[str, ModelFigures]


@dataclass(frozen=True, slots=True, kw_only=True)
class SetFigures:
    """A whole set; `count` is the number of recorded questions that it was fitted to."""

    count: int
    kinds: Mapping[str, KindFigures]


def _model(slope: float, bias: float, log_tokens: float, log_tokens_spread: float) -> ModelFigures:
    return ModelFigures(slope=slope, bias=bias, log_tokens=log_tokens, log_tokens_spread=log_tokens_spread)


FIGURES: Mapping[str, SetFigures] = {
    "zeroeval": SetFigures(
        count=1211,
        kinds={
            "gsm": KindFigures(
                share=0.617,
                log_prompt=4.87,
                log_prompt_spread=0.16,
                length_coupling=0.68,
                models={
                    "gemma-2-2b": _model(1.47, 0.06, 4.69, 0.45),
                    "llama-3.1-8b": _model(2.10, 2.76, 5.02, 0.46),
                    "gemma-2-9b": _model(3.74, 4.79, 4.64, 0.35),
                    "gemma-2-27b": _model(3.78, 5.23, 4.56, 0.34),
                    "llama-3.1-70b": _model(3.06, 5.43, 4.85, 0.37),
                },
            ),
            "crux": KindFigures(
                share=0.383,
                log_prompt=5.26,
                log_prompt_spread=0.07,
                length_coupling=0.63,
                models={
                    "gemma-2-2b": _model(1.67, -1.73, 4.59, 0.29),
                    "llama-3.1-8b": _model(2.67, -0.83, 4.91, 0.43),
                    "gemma-2-9b": _model(3.86, -0.15, 4.81, 0.47),
                    "gemma-2-27b": _model(3.78, 0.65, 4.67, 0.40),
                    "llama-3.1-70b": _model(3.11, 1.34, 4.85, 0.44),
                },
            ),
        },
    ),
    "mmlu_pro": SetFigures(
        count=5292,
        kinds={
            "mmlu_pro": KindFigures(
                share=1.0,
                log_prompt=5.05,
                log_prompt_spread=0.46,
                length_coupling=0.72,
                models={
                    "phi-3-mini": _model(2.57, -0.47, 4.41, 0.56),
                    "mathstral-7b": _model(1.89, -0.35, 4.35, 0.73),
                    "llama-3.1-8b": _model(1.98, -0.22, 4.62, 1.05),
                    "mixtral-8x7b": _model(2.44, -0.53, 4.30, 0.59),
                    "llama-3.1-70b": _model(2.38, 1.17, 4.38, 0.78),
                },
            ),
        },
    ),
}
"""By name of the set."""


def generate_questions(name: str, *, seed: int, count: int | None = None) -> QuestionSet:
    """Draw a set.

    Args:
        name: A key of `FIGURES`.
        seed: Same seed, same questions.
        count: Number of questions; None for as many as were recorded.

    Raises:
        KeyError: No set has that name.
    """
    return draw_questions(name, FIGURES[name], seed=seed, count=count)


def draw_questions(name: str, figures: SetFigures, *, seed: int, count: int | None = None) -> QuestionSet:
    """Draw a set from figures of one's own.

    Args:
        name: Name of the set.
        figures: What it is drawn from.
        seed: Same seed, same questions.
        count: Number of questions; None for as many as were recorded.
    """
    rng = np.random.default_rng(seed)
    kinds = list(figures.kinds)
    shares = np.array([figures.kinds[kind].share for kind in kinds])
    drawn = rng.choice(len(kinds), size=figures.count if count is None else count, p=shares / shares.sum())
    questions = [
        _draw(f"{name}-{seed}-{number}", kinds[kind], figures.kinds[kinds[kind]], rng)
        for number, kind in enumerate(drawn)
    ]
    models = tuple(figures.kinds[kinds[0]].models)
    return split(name, models, questions, seed=seed, is_recorded=False)


def _draw(key: str, kind: str, figures: KindFigures, rng: np.random.Generator) -> Question:
    ease, verbosity = rng.standard_normal(2)
    coupling = figures.length_coupling
    correct: dict[str, bool] = {}
    output_tokens: dict[str, int] = {}
    for model, of in figures.models.items():
        correct[model] = bool(rng.random() < 1 / (1 + np.exp(-(of.slope * ease + of.bias))))
        own = coupling * verbosity + np.sqrt(1 - coupling**2) * rng.standard_normal()
        output_tokens[model] = max(1, round(float(np.exp(of.log_tokens + of.log_tokens_spread * own))))
    prompt = np.exp(figures.log_prompt + figures.log_prompt_spread * rng.standard_normal())
    return Question(
        key=key,
        kind=kind,
        text=f"A generated question of kind {kind}, number {key}.",
        prompt_tokens=max(1, round(float(prompt))),
        correct=correct,
        output_tokens=output_tokens,
    )
