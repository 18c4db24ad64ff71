"""A table of outcomes: which model answered which prompt correctly."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from extproc.estimate.quality.features import PromptFeatures, describe
from extproc.facts.grams import hash_grams
from extproc.facts.text import profile_text

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeTable:
    """Outcomes of models on prompts.

    Attributes:
        name: Name of the data set.
        models: Names of the columns.
        prompts: One per row.
        groups: What kind of prompt each row is: data set, task or subject; a whole group is left out to see how a fit
            does on prompts unlike its own.
        keys: Hash or id of each row's question; rows with equal keys never come apart when the table is split.
        outcomes: Share of correct answers, 0 to 1, NaN where a model was not asked; shape (rows, models).

    Raises:
        ValueError: The lengths differ, or an outcome is out of range.
    """

    name: str
    models: tuple[str, ...]
    prompts: tuple[PromptFeatures, ...]
    groups: tuple[str, ...]
    keys: tuple[str, ...]
    outcomes: Floats

    def __post_init__(self) -> None:
        rows = len(self.prompts)
        if self.outcomes.shape != (rows, len(self.models)) or not rows == len(self.groups) == len(self.keys):
            raise ValueError(f"{self.name}: expected as many groups, keys and outcomes as prompts ({rows})")
        if not rows or not self.models:
            raise ValueError(f"{self.name}: expected at least one prompt and one model")
        if len(set(self.models)) != len(self.models):
            raise ValueError(f"{self.name}: a model is named twice")
        known = self.outcomes[~np.isnan(self.outcomes)]
        if ((known < 0.0) | (known > 1.0)).any():
            raise ValueError(f"{self.name}: expected outcomes from 0 to 1")

    def rows(self, mask: Mask) -> OutcomeTable:
        """The rows where `mask` is true."""
        chosen = np.flatnonzero(mask).tolist()
        return OutcomeTable(
            name=self.name,
            models=self.models,
            prompts=tuple(self.prompts[row] for row in chosen),
            groups=tuple(self.groups[row] for row in chosen),
            keys=tuple(self.keys[row] for row in chosen),
            outcomes=self.outcomes[mask],
        )

    def fleet(self, models: Sequence[str]) -> OutcomeTable:
        """The columns of these models, and the rows that all of them answered, each outcome 0 or 1 (from 0.5 up)."""
        missing = [model for model in models if model not in self.models]
        if missing:
            raise ValueError(f"{self.name}: unknown models {missing}")
        outcomes = self.outcomes[:, [self.models.index(model) for model in models]]
        complete: Mask = np.asarray(np.isfinite(outcomes).all(axis=1))
        narrow = OutcomeTable(
            name=self.name,
            models=tuple(models),
            prompts=self.prompts,
            groups=self.groups,
            keys=self.keys,
            outcomes=np.where(np.isnan(outcomes), np.nan, (outcomes >= 0.5).astype(float)),
        )
        return narrow.rows(complete)

    def folds(self, count: int, split: int = 0) -> npt.NDArray[np.int64]:
        """The fold of each row, from 0 to `count` - 1, by its key alone: the same in every run and every table.

        Args:
            count: How many folds.
            split: Another number is another way to part the questions.
        """
        salt = f"{split}:" if split else ""
        return np.array(
            [int(hashlib.sha256(f"{salt}{key}".encode()).hexdigest()[:8], 16) % count for key in self.keys]
        )

    def digest(self) -> str:
        """SHA-256 over all that a fit sees."""
        whole = hashlib.sha256(repr((self.models, self.groups)).encode())
        for prompt in self.prompts:
            whole.update(repr(prompt.numbers).encode() + prompt.grams)
        whole.update(np.nan_to_num(self.outcomes, nan=-1.0).tobytes())
        return whole.hexdigest()


def describe_prompt(text: str) -> PromptFeatures:
    """Describe a prompt of one message."""
    return describe(text=profile_text([text]), grams=hash_grams([text]))


def stacked(tables: Sequence[OutcomeTable], name: str) -> OutcomeTable:
    """One table of the rows of several; a model that one of them lacks was not asked there.

    Raises:
        ValueError: There is no table.
    """
    models = tuple(dict.fromkeys(model for table in tables for model in table.models))
    parts = []
    for table in tables:
        outcomes = np.full((len(table.prompts), len(models)), np.nan)
        outcomes[:, [models.index(model) for model in table.models]] = table.outcomes
        parts.append(outcomes)
    if not parts:
        raise ValueError(f"{name}: expected at least one table")
    return OutcomeTable(
        name=name,
        models=models,
        prompts=tuple(prompt for table in tables for prompt in table.prompts),
        groups=tuple(group for table in tables for group in table.groups),
        keys=tuple(key for table in tables for key in table.keys),
        outcomes=np.vstack(parts),
    )
