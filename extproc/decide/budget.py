"""The token budget of a request: what its prompt and its output may need on one sequence."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from extproc.decide.plan import TokenBudget, longest_tokens
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
    names = tuple(models)
    prompt = prompts.predict_each(facts, names)
    if facts.max_output_tokens is not None:
        output = [facts.max_output_tokens] * len(names)
    else:
        output = outputs.predict_each(names, facts.text, provision.quantile)
        if provision.max_tokens is not None:
            output = [min(tokens, provision.max_tokens) for tokens in output]
    needs = [
        longest_tokens(estimate.upper, facts.longest_share) + tokens
        for estimate, tokens in zip(prompt, output, strict=True)
    ]
    largest = needs.index(max(needs))
    return TokenBudget(
        prompt_tokens=prompt[largest].tokens,
        prompt_tokens_upper=prompt[largest].upper,
        output_tokens=output[largest],
        output_is_given=facts.max_output_tokens is not None,
        longest_share=facts.longest_share,
        by_model=dict(zip(names, prompt, strict=True)),
    )
