from __future__ import annotations

from collections.abc import Callable

from extproc.decide.budget import OutputProvision, token_budget
from extproc.estimate.output_length import OutputLengthEstimator
from extproc.estimate.tokens import PromptTokenEstimator
from extproc.facts.request import RequestFacts


def test_the_model_with_the_largest_need_decides_and_each_has_its_own_estimate(
    make_facts: Callable[..., RequestFacts],
) -> None:
    """Nobody chosen later may turn out too small; what is held against a model's count is its own figure."""
    prompts, facts = PromptTokenEstimator(), make_facts(max_output_tokens=50)
    for _ in range(50):
        for model, tokens in (("sparing", 90), ("lavish", 190)):
            prompts.learn(
                model=model,
                text=facts.text,
                prompt_token_ids=0,
                messages=1,
                images=0,
                prompt_tokens=tokens,
            )
    budget = token_budget(
        facts, ("sparing", "lavish"), prompts, OutputLengthEstimator(), OutputProvision(quantile=0.9)
    )

    sparing, lavish = budget.by_model["sparing"], budget.by_model["lavish"]
    assert sparing.tokens < lavish.tokens == budget.prompt_tokens
    assert lavish.upper == budget.prompt_tokens_upper
    assert (50, True) == (budget.output_tokens, budget.output_is_given)
