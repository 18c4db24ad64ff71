"""The token budget of a request: what its prompt and its output may need on one sequence."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from extproc.decide.plan import TokenBudget
from extproc.estimate.output_length import OutputLengthEstimator
from extproc.estimate.tokens import PromptTokenEstimator
from extproc.facts.request import RequestFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputProvision:
    """What to provide for an output that the client did not limit.

    Attributes:
        quantile: Quantile of the learned output length, between 0 and 1.
        max_tokens: Most tokens to provide for; None without a bound.
    """

    quantile: float
    max_tokens: int | None = None


def token_budget(
    facts: RequestFacts,
    models: Iterable[str],
    prompts: PromptTokenEstimator,
    outputs: OutputLengthEstimator,
    provision: OutputProvision,
) -> TokenBudget:
    """Estimate the budget; of several models that may serve, the one with the largest need decides.

    Args:
        facts: The request.
        models: Models that may serve it, at least one.
        prompts: Prompt-token estimator.
        outputs: Output-length estimator, asked when the client states no limit.
        provision: What to provide for then.
    """
    return max(
        (_for_model(facts, model, prompts, outputs, provision) for model in models),
        key=lambda budget: budget.total_tokens,
    )


def _for_model(
    facts: RequestFacts,
    model: str,
    prompts: PromptTokenEstimator,
    outputs: OutputLengthEstimator,
    provision: OutputProvision,
) -> TokenBudget:
    estimate = prompts.predict(facts, model)
    if facts.max_output_tokens is not None:
        output_tokens, given = facts.max_output_tokens, True
    else:
        output_tokens, given = outputs.predict(model, facts.text, provision.quantile), False
        if provision.max_tokens is not None:
            output_tokens = min(output_tokens, provision.max_tokens)
    return TokenBudget(
        prompt_tokens=estimate.tokens,
        prompt_tokens_upper=estimate.upper,
        output_tokens=output_tokens,
        output_is_given=given,
        longest_share=facts.longest_share,
    )
