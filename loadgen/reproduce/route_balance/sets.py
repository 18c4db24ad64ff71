"""Questions that four models of growing size answered, smallest first: the roles of the paper's 3B, 7B, 14B and 72B.

`qwen` is the paper's own family (Qwen 2.5 on ZeroEval's CRUX; 32B where the paper has 14B, which was not recorded).
`mmlu_pro` has ten times its questions, over fourteen subjects; its 47B mixture (13B active) stands where 14B does and
is no better than the models below it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from loadgen.questions.catalog import load_questions
from loadgen.questions.generated import KindFigures, ModelFigures, SetFigures, draw_questions
from loadgen.questions.question import Question, QuestionSet
from loadgen.questions.recorded import Source, read_sources

_QWEN = Source(
    stem="zeroeval_crux",
    kind="crux",
    columns={
        "qwen-2.5-3b": "Qwen2.5-3B-Instruct",
        "qwen-2.5-7b": "Qwen2.5-7B-Instruct",
        "qwen-2.5-32b": "Qwen2.5-32B-Instruct",
        "qwen-2.5-72b": "Qwen2.5-72B-Instruct",
    },
)

_QWEN_FIGURES = SetFigures(
    count=464,
    kinds={
        "crux": KindFigures(
            share=1.0,
            log_prompt=5.26,
            log_prompt_spread=0.07,
            length_coupling=0.71,
            models={
                "qwen-2.5-3b": ModelFigures(slope=2.23, bias=-1.09, log_tokens=5.02, log_tokens_spread=0.49),
                "qwen-2.5-7b": ModelFigures(slope=2.72, bias=0.30, log_tokens=4.93, log_tokens_spread=0.46),
                "qwen-2.5-32b": ModelFigures(slope=5.20, bias=2.79, log_tokens=4.96, log_tokens_spread=0.31),
                "qwen-2.5-72b": ModelFigures(slope=2.83, bias=2.26, log_tokens=4.92, log_tokens_spread=0.32),
            },
        )
    },
)
"""Fitted to the same files as `_QWEN`, as `loadgen.questions.generated` says."""

_OF_FIVE: Mapping[str, Sequence[str]] = {
    "mmlu_pro": ("phi-3-mini", "llama-3.1-8b", "mixtral-8x7b", "llama-3.1-70b"),
}
"""Four of a set's five models."""

MOST_OUTPUT_TOKENS = 1024
"""The paper's limit; an answer that was longer is cut there and wrong."""

NAMES = ("qwen", *_OF_FIVE)


def load_four(name: str, folder: Path | None, *, seed: int) -> QuestionSet:
    """Read a set, or generate it when there is no data folder.

    Args:
        name: One of `NAMES`.
        folder: The data folder; None when it is not here.
        seed: Of the division into training and held-out questions, and of generated ones.

    Raises:
        ValueError: No set has that name.
        FileNotFoundError: The folder is there, but a file is missing.
    """
    if name == "qwen":
        found = (
            draw_questions(name, _QWEN_FIGURES, seed=seed)
            if folder is None
            else read_sources(name, (_QWEN,), folder, seed=seed)
        )
        return _restrict(found, found.models)
    if name not in _OF_FIVE:
        raise ValueError(f"no set of four sizes is called {name!r}; there are {', '.join(NAMES)}")
    return _restrict(load_questions(name, folder, seed=seed), _OF_FIVE[name])


def _restrict(questions: QuestionSet, models: Sequence[str]) -> QuestionSet:
    def of(question: Question) -> Question:
        return replace(
            question,
            correct={
                model: question.correct[model] and question.output_tokens[model] <= MOST_OUTPUT_TOKENS
                for model in models
            },
            output_tokens={model: min(question.output_tokens[model], MOST_OUTPUT_TOKENS) for model in models},
        )

    return replace(
        questions,
        models=tuple(models),
        training=tuple(map(of, questions.training)),
        held_out=tuple(map(of, questions.held_out)),
    )
