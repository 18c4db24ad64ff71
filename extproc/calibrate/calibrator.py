"""Hands what an outcome taught to the estimators."""

from __future__ import annotations

from extproc.calibrate.outcome import Outcome
from extproc.estimate.output_length import OutputLengthEstimator
from extproc.estimate.tokens import PromptTokenEstimator


class Calibrator:
    """Turns outcomes into observations; an outcome without usage teaches nothing, least of all zero."""

    def __init__(self, prompts: PromptTokenEstimator, outputs: OutputLengthEstimator) -> None:
        self._prompts = prompts
        self._outputs = outputs

    def learn(self, outcome: Outcome) -> bool:
        """Teach the estimators from one outcome; True when there was something to learn."""
        decision, usage = outcome.decision, outcome.usage
        if decision is None or usage is None or not decision.model or outcome.status != 200:
            return False
        if usage.prompt_tokens is not None:
            self._prompts.learn(
                model=decision.model,
                text=decision.text,
                prompt_token_ids=decision.prompt_token_ids,
                messages=decision.messages,
                images=decision.images,
                prompt_tokens=usage.prompt_tokens,
            )
        if usage.completion_tokens is not None and decision.choices == 1:
            self._outputs.learn(
                decision.model,
                decision.text,
                usage.completion_tokens,
                was_cut=decision.output_is_given
                and decision.output_tokens is not None
                and usage.completion_tokens >= decision.output_tokens,
            )
        return True
