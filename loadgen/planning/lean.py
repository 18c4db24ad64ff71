"""The lean path: the router's own choice of a pool, and within it the instance with the fewest sequences.

Budgets come ready-made, so that no text is needed; books are a live count of sequences. What it leaves out of the
router is estimation, predicted work and plans: `tests/loadgen/test_planning_lean.py` holds the two against each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from extproc.decide.plan import TokenBudget
from extproc.decide.pools import choose_pool
from extproc.errors import BadRequestError
from extproc.fleet.load import LoadBook
from extproc.fleet.topology import Fleet
from extproc.fleet.vllm_metrics import InstanceMetrics
from loadgen.planning.traffic import Ints, Sizes


@dataclass(frozen=True, slots=True)
class Budgets:
    """What a router believes of requests, one entry each.

    Attributes:
        prompt_tokens: Expected prompt tokens.
        prompt_tokens_upper: Conservative prompt tokens.
        output_tokens: Output tokens to provide for.
    """

    prompt_tokens: Ints
    prompt_tokens_upper: Ints
    output_tokens: Ints

    @classmethod
    def true(cls, sizes: Sizes) -> Budgets:
        """Budgets of a router that knows: as the authors' simulator has them."""
        return cls(sizes.prompt_tokens, sizes.prompt_tokens, sizes.output_tokens)


class LeanChooser:
    """Chooses as the router's policy `shortest_queue` does, with given budgets.

    Args:
        fleet: What can be chosen.
        budgets: By request.
    """

    def __init__(self, fleet: Fleet, budgets: Budgets) -> None:
        book = LoadBook(fleet)
        self.table = book.table
        self._sequences = np.zeros(len(self.table))
        self._budgets = budgets
        self._rows: dict[int, list[int]] = {}
        # The snapshot's sequences are the live ones, so it is always of this moment.
        self._snapshot = replace(book.snapshot(0.0), sequences=self._sequences)

    def choose(self, number: int, now: float) -> Sequence[str]:  # noqa: ARG002 - the protocol's
        """The best instance of the chosen pool, then the best of the others in case it is too small."""
        budget = TokenBudget(
            prompt_tokens=int(self._budgets.prompt_tokens[number]),
            prompt_tokens_upper=int(self._budgets.prompt_tokens_upper[number]),
            output_tokens=int(self._budgets.output_tokens[number]),
            output_is_given=True,
        )
        try:
            choice = choose_pool(budget, self.table.rows, self._snapshot)
        except BadRequestError:
            return ()
        rows = [self._best(choice.rows)]
        if len(choice.others):
            rows.append(self._best(choice.others))
        self._rows[number] = rows
        self._sequences[rows[0]] += 1
        return [self.table.addresses[row] for row in rows]

    def overflowed(self, number: int, address: str, now: float) -> None:  # noqa: ARG002 - the protocol's
        """Count the request where it goes on."""
        rows = self._rows[number]
        self._sequences[rows.pop(0)] -= 1
        if rows:
            self._sequences[rows[0]] += 1

    def finished(self, number: int, address: str | None, now: float) -> None:  # noqa: ARG002 - the protocol's
        """Take the request off the count."""
        rows = self._rows.pop(number, [])
        if rows:
            self._sequences[rows[0]] -= 1

    def observe(self, address: str, metrics: InstanceMetrics, now: float) -> None:
        """Nothing to learn: the count is its own."""

    def _best(self, rows: Ints) -> int:
        return int(rows[np.argmin(self._sequences[rows] * self.table.share_per_sequence[rows])])
