"""Whether the nearest neighbours choose well on a task that none of them comes from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from extproc.fit.design import gram_matrix, learn_design
from extproc.fit.published import load
from extproc.fit.table import OutcomeTable
from loadgen.reproduce.route_balance.sight import nearest

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

MODELS: Final = (
    "mistral-7b-instruct-v0.3",
    "qwen2.5-7b-instruct",
    "llama-3.1-8b-instruct",
    "gemma-2-9b-it",
    "llama-3.3-nemotron-super-49b-v1",
    "llama-3.1-nemotron-51b-instruct",
)
"""Six open models of 7B to 51B that answered the questions of fourteen tasks."""

FOLDS: Final = 5
PUBLISHED_TASK: Final = "gsm8k"
"""What the paper leaves out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unseen:
    """Quality by question of one task, by who chose the model.

    Attributes:
        task: Name of the task.
        seen: Chosen by neighbours of all tasks, other questions of this one among them.
        unseen: Chosen by neighbours of the other tasks alone.
        random: Mean over the models.
        prior: Chosen by the accuracy over the other tasks, the same model for every question.
    """

    task: str
    seen: Floats
    unseen: Floats
    random: Floats
    prior: Floats


def judge_mixed_tasks(folder: Path) -> list[Unseen]:
    """Judge every task of the mixed set (ulab-uiuc/LLMRouter) in the data folder.

    Raises:
        FileNotFoundError: It is not there.
    """
    return judge(load("ulab_llmrouter", folder).fleet(MODELS))


def judge(table: OutcomeTable) -> list[Unseen]:
    """Judge every task (`groups`) of a table, in the order of their names.

    Args:
        table: Outcomes of 0 and 1, at least two tasks.
    """
    tasks = np.array(table.groups)
    with threadpool_limits(limits=1):
        seen = np.empty(len(tasks))
        folds = table.folds(FOLDS)
        for fold in range(FOLDS):
            seen[folds == fold] = _chosen(table, folds != fold, folds == fold)
        return [
            Unseen(
                task=task,
                seen=seen[tasks == task],
                unseen=_chosen(table, tasks != task, tasks == task),
                random=table.outcomes[tasks == task].mean(axis=1),
                prior=table.outcomes[tasks == task][:, table.outcomes[tasks != task].mean(axis=0).argmax()],
            )
            for task in sorted(set(table.groups))
        ]


def _chosen(table: OutcomeTable, known: Mask, asked: Mask) -> Floats:
    """Outcome of the model that the neighbours of each asked row rate best."""
    inside, outside = table.rows(known), table.rows(asked)
    if not len(outside.prompts):
        return np.empty(0)
    design = learn_design(inside.prompts, 0, 0)
    near, weights = nearest(
        design.words(gram_matrix(inside.prompts)), design.words(gram_matrix(outside.prompts))
    )
    model = np.einsum("qk,qkm->qm", weights, inside.outcomes[near]).argmax(axis=1)
    result: Floats = outside.outcomes[np.arange(len(model)), model]
    return result


def resampled_mean(values: Sequence[Floats], *, resamples: int, seed: int) -> Floats:
    """Mean over tasks of the mean over questions, questions drawn anew within each task: as measured, then by resample."""
    rng = np.random.default_rng(seed)
    found = np.empty((1 + resamples, len(values)))
    for column, one in enumerate(values):
        found[0, column] = one.mean()
        found[1:, column] = one[rng.integers(0, len(one), (resamples, len(one)))].mean(axis=1)
    result: Floats = found.mean(axis=1)
    return result
