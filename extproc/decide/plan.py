"""What was decided: the plan that Envoy carries out, with the reasons."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from extproc.decide.first_correct import Objective
from extproc.estimate.cost import expected_plan_usd
from extproc.estimate.quality.coupling import Ability
from extproc.estimate.tokens import TokenEstimate


def longest_tokens(prompt_tokens: int, longest_share: float) -> int:
    """Prompt tokens of the longest of several sequences, which has a share of them all."""
    return math.ceil(prompt_tokens * longest_share)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenBudget:
    """Tokens that a request may need.

    Attributes:
        prompt_tokens: Expected prompt tokens, of all sequences together.
        prompt_tokens_upper: Conservative prompt tokens, of all sequences together.
        output_tokens: Output tokens of one sequence to provide for: the client's limit, or a learned quantile.
        output_is_given: True when the client stated the limit.
        longest_share: Share of the prompt tokens that the longest sequence has, in (0, 1].
        by_model: What each model that may serve was expected to count, for whoever compares it with what it did.
    """

    prompt_tokens: int
    prompt_tokens_upper: int
    output_tokens: int
    output_is_given: bool
    longest_share: float = 1.0
    by_model: Mapping[str, TokenEstimate] = field(default_factory=dict, compare=False, repr=False)

    @property
    def longest_prompt_tokens(self) -> int:
        """Expected prompt tokens of the longest sequence."""
        return longest_tokens(self.prompt_tokens, self.longest_share)

    @property
    def longest_prompt_tokens_upper(self) -> int:
        """Conservative prompt tokens of the longest sequence: the figure that is held against limits."""
        return longest_tokens(self.prompt_tokens_upper, self.longest_share)

    @property
    def total_tokens(self) -> int:
        """The conservative budget of the longest sequence: what hard limits are held against."""
        return self.longest_prompt_tokens_upper + self.output_tokens

    @property
    def expected_total_tokens(self) -> int:
        """The expected budget of the longest sequence: what a pool's threshold, a preference, is held against."""
        return self.longest_prompt_tokens + self.output_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One upstream try of a plan.

    Attributes:
        address: Instance, `ip:port`.
        cluster: The instance's cluster.
        model: Name under which the instance serves the model.
        work_seconds: Predicted work of this attempt: own time plus the delay it causes others.
        chance: P(correct) given that all earlier attempts of the plan failed; None when nobody estimated it.
        latency_seconds: Predicted time from its start to its last byte; None when nobody estimated it.
        latency_upper_seconds: Upper quantile of that; None when nobody estimated it.
        cost_usd: Predicted price of the attempt; None when nobody estimated it.
        max_tokens: Output tokens at which the answer is cut, and the next attempt follows; None to leave the body's
            limit.
        ability: What the chances of all orders of the attempts follow from; None when nobody estimated it.
    """

    address: str
    cluster: str
    model: str
    work_seconds: float
    chance: float | None = None
    latency_seconds: float | None = None
    latency_upper_seconds: float | None = None
    cost_usd: float | None = None
    max_tokens: int | None = None
    ability: Ability | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Ordered attempts with a retry budget.

    Attributes:
        decision_id: Joins the plan with Envoy's records of it; unique per decision.
        attempts: In the order in which Envoy tries them; no address twice; at least one.
        route_cluster: Envoy cluster that the route takes: the attempts' own when they share one, else the union.
        max_retries: Retries Envoy may make; `len(attempts) >= 1 + max_retries`.
        timeout_seconds: For the whole request, retries included.
        per_try_timeout_seconds: For one try; None when only the whole is bounded.
        model: Model name for the request body; None when the body keeps the client's.
        pool: Pool of the first attempt; empty for requests that pass through.
        budget: None for requests that pass through.
        candidates: Number of instances that were eligible.
        reason: Why this pool and order, in a few words for traces and logs.
        overflow_addresses: Instances whose context-length rejection (a 400) is retried on the next attempt;
            never the last attempt's.
        is_verified: True when each answer is verified before the client gets it: takes the union cluster.
        hedges: True when a try that exceeds its timeout is raced by the next one instead of being given up.
        ability: Mean and standard deviation of the latent factor that the chances were computed with: how easy the
            question looks; None when nobody estimated it.
        wish: What became of the client's wish for other weights, in words; empty when it had none.
        objective: What the client's granted wish makes of the objective, for the decisions between its attempts; None
            when the operator's holds.
        decided_unix_ms: When the decision was made, milliseconds since the epoch; 0 when nobody is to be told.
        elapsed_seconds: What the question's earlier requests, in the same session, took by then: TTCA counts it, too.
    """

    decision_id: str
    attempts: tuple[Attempt, ...]
    route_cluster: str
    max_retries: int
    timeout_seconds: float
    per_try_timeout_seconds: float | None
    model: str | None
    pool: str
    budget: TokenBudget | None
    candidates: int
    reason: str
    overflow_addresses: tuple[str, ...] = ()
    is_verified: bool = False
    hedges: bool = False
    ability: tuple[float, float] | None = None
    wish: str = ""
    objective: Objective | None = None
    decided_unix_ms: int = 0
    elapsed_seconds: float = 0.0

    @property
    def expected_usd(self) -> float | None:
        """Expected price in US dollars, None when unknown: each verified attempt is paid for when all before it failed.

        It is an upper bound where some attempts are made only if prices fall. Attempts without a chance stand in for an instance that fails, and a failed instance has no price.
        """
        priced = [attempt for attempt in self.attempts if attempt.chance is not None]
        if not self.is_verified:
            return self.attempts[0].cost_usd
        if not priced or any(attempt.cost_usd is None for attempt in priced):
            return None
        return expected_plan_usd(
            np.array([attempt.cost_usd for attempt in priced]),
            np.array([attempt.chance for attempt in priced]),
        )
