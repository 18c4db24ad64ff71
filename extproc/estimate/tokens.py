"""How many tokens a prompt takes: bytes by category times what the model's tokenizer makes of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from extproc.estimate.stored import as_name, as_object, as_version
from extproc.estimate.token_costs import NAMES, CostPriors, TokenCosts
from extproc.estimate.token_priors import PRIORS, TEMPLATE_MESSAGE, TEMPLATE_REQUEST, Prior
from extproc.facts.request import RequestFacts
from extproc.facts.text import TextProfile

STATE_VERSION = 1

MOST_TOKENS_PER_BYTE = 2.0
"""Counts beyond this are nonsense: a byte-level vocabulary takes at most one token per byte."""

MOST_BYTES_PER_TOKEN = 200.0
"""Counts below this are nonsense: no token of prose is so long, and no run of spaces."""


@dataclass(frozen=True, slots=True)
class TokenEstimate:
    """Prompt tokens as predicted.

    Attributes:
        tokens: Expected count.
        upper: Count that all but the estimator's under-rate of prompts stay within; at least `tokens`.
        samples: Prompts that the model's figures were learned from; 0 for a model never seen.
    """

    tokens: int
    upper: int
    samples: int


class PromptTokenEstimator:
    """Prompt tokens of a request for a model, calibrated online from `usage.prompt_tokens`.

    >>> from extproc.facts.request import Api
    >>> from extproc.facts.text import profile_text
    >>> text = profile_text(["Describe the route that a letter takes from the sender to the reader. " * 20])
    >>> facts = RequestFacts(api=Api.CHAT_COMPLETIONS, model="m", text=text, messages=1)
    >>> estimator = PromptTokenEstimator()
    >>> before = estimator.predict(facts, "m").tokens
    >>> for _ in range(50):
    ...     estimator.learn(model="m", text=text, prompt_token_ids=0, messages=1, images=0, prompt_tokens=290)
    >>> before, estimator.predict(facts, "m").tokens
    (352, 290)

    Args:
        tokens_per_image: Prompt tokens of one image.
        under_rate: Share of prompts whose true count may exceed `upper`, in (0, 0.5].
        max_models: Models that are remembered; the one that learned least recently is forgotten first.
        priors: What is known of each unit before a model's usage is seen.

    Raises:
        ValueError: A parameter is out of range.
    """

    def __init__(
        self,
        *,
        tokens_per_image: int = 1024,
        under_rate: float = 0.025,
        max_models: int = 256,
        priors: Mapping[str, Prior] = PRIORS,
    ) -> None:
        if tokens_per_image < 0:
            raise ValueError(f"tokens_per_image: expected at least 0, got {tokens_per_image}")
        if not 0.0 < under_rate <= 0.5:
            raise ValueError(f"under_rate: expected a share in (0, 0.5], got {under_rate}")
        if max_models < 1:
            raise ValueError(f"max_models: expected at least 1, got {max_models}")
        self._tokens_per_image = tokens_per_image
        self._under_rate = under_rate
        self._max_models = max_models
        self._priors = CostPriors(priors)
        self._unseen = TokenCosts(self._priors, under_rate)
        self._models: dict[str, TokenCosts] = {}

    def predict(self, facts: RequestFacts, model: str) -> TokenEstimate:
        """Predict the prompt tokens that `model` would report for a request."""
        return self.predict_each(facts, (model,))[0]

    def predict_each(self, facts: RequestFacts, models: Iterable[str]) -> list[TokenEstimate]:
        """As `predict`, for several models."""
        units = _units(facts.text, facts.messages)
        exact = facts.prompt_token_ids + facts.images * self._tokens_per_image
        found: list[TokenEstimate] = []
        for model in models:
            costs = self._models.get(model, self._unseen)
            tokens, upper = costs.estimate(units) if units else (0.0, 0.0)
            found.append(TokenEstimate(exact + round(tokens), exact + math.ceil(upper), costs.samples))
        return found

    def learn(
        self,
        *,
        model: str,
        text: TextProfile,
        prompt_token_ids: int,
        messages: int,
        images: int,
        prompt_tokens: int,
    ) -> None:
        """Learn what `usage.prompt_tokens` said of a prompt.

        Prompts with images or without text teach nothing about text, and counts that no tokenizer could have
        made of the text are ignored. One prompt moves a figure by a bounded step, within the priors' bounds.
        """
        size = text.total_bytes
        tokens = prompt_tokens - prompt_token_ids
        if images or size <= 0 or tokens <= 0:
            return
        template_most = 64 * (messages + 1)
        if not size / MOST_BYTES_PER_TOKEN <= tokens <= size * MOST_TOKENS_PER_BYTE + template_most:
            return
        costs = self._models.pop(model, None) or TokenCosts(self._priors, self._under_rate)
        costs.learn(_units(text, messages), tokens)
        self._models[model] = costs
        if len(self._models) > self._max_models:
            del self._models[next(iter(self._models))]

    def learn_lower_bound(
        self,
        *,
        model: str,
        text: TextProfile,
        prompt_token_ids: int,
        messages: int,
        images: int,
        at_least: int,
    ) -> None:
        """Learn from a context-length rejection that a prompt has at least `at_least` tokens.

        A bound that the expected count already meets teaches nothing. Where the rejection states the exact
        count, teach that with `learn`.
        """
        costs = self._models.get(model, self._unseen)
        expected = prompt_token_ids + costs.estimate(_units(text, messages))[0]
        if expected < at_least:
            self.learn(
                model=model,
                text=text,
                prompt_token_ids=prompt_token_ids,
                messages=messages,
                images=images,
                prompt_tokens=at_least,
            )

    def state(self) -> dict[str, object]:
        """A JSON-able copy of all that was learned, for `restore`."""
        return {
            "version": STATE_VERSION,
            "units": list(NAMES),
            "models": {model: costs.state() for model, costs in self._models.items()},
        }

    def restore(self, state: object) -> None:
        """Replace all that was learned by a copy that `state` made.

        Raises:
            ValueError: The state is malformed or of another version; the text says what, and nothing changes.
        """
        found = as_version(state, STATE_VERSION, "token state")
        if found.get("units") != list(NAMES):
            raise ValueError("token state: units differ from this release's categories")
        restored: dict[str, TokenCosts] = {}
        for key, costs in as_object(found.get("models"), "token state: models").items():
            model = as_name(key, "token state: models")
            try:
                restored[model] = TokenCosts.restored(costs, self._priors, self._under_rate)
            except ValueError as error:
                raise ValueError(f"token state: models.{model}: {error}") from error
        for model in list(restored)[: max(0, len(restored) - self._max_models)]:
            del restored[model]
        self._models = restored


def _units(text: TextProfile, messages: int) -> tuple[tuple[str, int], ...]:
    """What a prompt's tokens are made of; a prompt without text, of token ids alone, gets no template."""
    if messages and text.bytes_by_category:
        return (*text.bytes_by_category, (TEMPLATE_MESSAGE, messages), (TEMPLATE_REQUEST, 1))
    return text.bytes_by_category
