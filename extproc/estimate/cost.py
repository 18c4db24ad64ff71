"""What an attempt costs in US dollars: tokens times the price of the cluster that serves them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from extproc.fleet.snapshot import FleetTable, Floats, Ints

TOKENS_PER_PRICE = 1e6
"""Prices are per million tokens."""


@dataclass(frozen=True, slots=True)
class PriceTable:
    """Prices by row of a fleet table.

    Attributes:
        input_usd_per_token: Dollars per prompt token.
        output_usd_per_token: Dollars per output token.
    """

    input_usd_per_token: Floats
    output_usd_per_token: Floats

    @classmethod
    def of(cls, table: FleetTable) -> PriceTable:
        """Lay the prices of a fleet out by row."""
        prices = [cluster.price for cluster in table.clusters]
        return cls(
            np.array([price.input_usd_per_mtok for price in prices]) / TOKENS_PER_PRICE,
            np.array([price.output_usd_per_mtok for price in prices]) / TOKENS_PER_PRICE,
        )

    def attempt_usd(
        self,
        rows: Ints,
        *,
        prompt_tokens: float | Floats,
        output_tokens: float | Floats,
        sequences: int = 1,
    ) -> Floats:
        """Dollars of one attempt on each of `rows`.

        Args:
            rows: Rows of the fleet table, shape (k,).
            prompt_tokens: Prompt tokens of all sequences together, for all rows or by row.
            output_tokens: Expected output tokens of one sequence, for all rows or by row.
            sequences: Answers asked for at once.

        Returns:
            Dollars, shape (k,), at least 0.
        """
        result: Floats = prompt_tokens * self.input_usd_per_token.take(rows) + self.output_usd(
            rows, output_tokens=output_tokens, sequences=sequences
        )
        return result

    def output_usd(self, rows: Ints, *, output_tokens: float | Floats, sequences: int = 1) -> Floats:
        """The part of `attempt_usd` that the output takes."""
        result: Floats = sequences * output_tokens * self.output_usd_per_token.take(rows)
        return result


def expected_plan_usd(attempt_usd: Floats, succeeds: Floats) -> float:
    """Expected dollars of a plan: each attempt is paid for when all before it failed.

    Sum over k of cost_k * prod over j < k of (1 - p_j), the cost term of the plan's utility.

    Args:
        attempt_usd: Dollars of each attempt in the order of the plan, shape (k,).
        succeeds: Chance of each attempt to succeed given that all before it failed, in [0, 1], shape (k,).
    """
    reached = np.concatenate(([1.0], np.cumprod(1.0 - succeeds)[:-1])) if len(succeeds) else succeeds
    return float(attempt_usd @ reached)
