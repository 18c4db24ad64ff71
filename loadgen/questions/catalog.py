"""Finds a set of questions by name: recorded where the data is, else generated."""

from __future__ import annotations

from pathlib import Path

from loadgen.questions.generated import FIGURES, generate_questions
from loadgen.questions.question import QuestionSet
from loadgen.questions.recorded import read_questions

NAMES = tuple(FIGURES)
"""Names of the sets."""


def load_questions(name: str, folder: Path | None, *, seed: int) -> QuestionSet:
    """Read a set from the data folder, or generate it when there is none.

    Args:
        name: One of `NAMES`.
        folder: The data folder; None when it is not here.
        seed: Of the division into training and held-out questions, and of generated ones.

    Raises:
        ValueError: No set has that name.
        FileNotFoundError: The folder is there, but a file is missing.
    """
    if name not in NAMES:
        raise ValueError(f"no questions are called {name!r}; there are {', '.join(NAMES)}")
    if folder is None:
        return generate_questions(name, seed=seed)
    return read_questions(name, folder, seed=seed)
