"""What a policy is: from a question and the fleet's load to the next instance, or to giving up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from extproc.fleet.snapshot import FleetSnapshot, FleetTable, Floats
from loadgen.questions.question import Question
from loadgen.virtual.knowledge import Chances, ExpectedLengths


class HasChances(Protocol):
    """Tells the chances of a question."""

    def chances(self, question: Question) -> Chances:
        """P(correct) by model and latent difficulty."""
        ...


@dataclass(slots=True)
class Asked:
    """A question on its way, as a policy sees it.

    Attributes:
        number: Serial number of the request in the run.
        question: What was asked; a policy must not read its answers.
        failed: Models that answered wrongly, in order.
        rows: Instances that were tried, in order.
    """

    number: int
    question: Question
    failed: list[str] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)


class Policy(Protocol):
    """Decides one attempt at a time."""

    def choose(self, asked: Asked, snapshot: FleetSnapshot) -> int | None:
        """Row of the instance to try next; None to give up."""
        ...


@dataclass(frozen=True, slots=True)
class Predicted:
    """Predictions by row, in seconds.

    Attributes:
        own_seconds: Time of the attempt itself.
        caused_seconds: What it costs the others, those included that are still to come.
    """

    own_seconds: Floats
    caused_seconds: Floats


class Forecast:
    """Predicts attempts on every instance from the iteration model t = W + H·n.

    Args:
        table: The fleet.
        lengths: Expected lengths of answers.
    """

    def __init__(self, table: FleetTable, lengths: ExpectedLengths) -> None:
        self.table = table
        self.rows_by_model = [
            np.flatnonzero(table.model_index == index) for index in range(len(table.models))
        ]
        self._lengths = lengths

    def tokens(self, question: Question) -> Floats:
        """Expected output tokens by model."""
        return self._lengths.tokens(question)

    def predict(self, question: Question, snapshot: FleetSnapshot) -> Predicted:
        """Predict an attempt on every row.

        With n sequences running, an attempt of S output tokens and P prompt tokens takes P/R + S·(W + H·(n + 1)),
        after the prefills before it. Everyone together loses that times the usual slowdown of the instance, the others'
        n·P/R included, as `extproc.estimate.latency` derives. On an instance without a free slot it also waits until
        as many sequences ended as stand before it; these have half their length left on average.
        """
        table = self.table
        tokens = self._lengths.tokens(question)[table.model_index]
        present, slots = snapshot.sequences, table.max_num_seqs
        base, per_sequence = table.iteration_base_seconds, table.iteration_per_sequence_seconds
        running = np.minimum(present, slots)
        prefill = question.prompt_tokens / table.prefill_tokens_per_second
        backlog = snapshot.prefill_backlog_tokens / table.prefill_tokens_per_second
        own = backlog + prefill + tokens * (base + per_sequence * np.minimum(present + 1, slots))
        before_us = np.maximum(0.0, present + 1 - slots)
        own += before_us * 0.5 * tokens * (base + per_sequence * slots) / slots
        exclusive = per_sequence + prefill / tokens
        slowdown = 1.0 + snapshot.usual_sequences * exclusive / (base + exclusive)
        return Predicted(own, (own + running * prefill) * slowdown - own)


def failed_mask(failed: Sequence[str], models: Sequence[str]) -> int:
    """A set of models as bits, bit m standing for `models[m]`."""
    mask = 0
    for model in failed:
        mask |= 1 << models.index(model)
    return mask
