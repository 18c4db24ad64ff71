"""Hands what an outcome taught to the estimators."""

from __future__ import annotations

from extproc.calibrate.outcome import Outcome, VerdictRecord
from extproc.decide.encounters import Met
from extproc.estimate.forecast import Estimators
from extproc.estimate.latency_records import LoadAtDecision
from extproc.estimate.tokens import PromptTokenEstimator

LESSONS_PER_SECOND = 50.0
"""Outcomes that are learned from; more would cost CPU and teach no faster than the traffic changes."""

MOST_LESSONS_SAVED = 100.0
"""Lessons that quiet times save up for a burst, such as the first requests after a start."""


def is_all_taught(record: VerdictRecord) -> bool:
    """True when the end of the request has nothing to add to a judged answer.

    It tells the length of the last try's answer alone, not whether anybody but the client cut it, nor that it is none.
    """
    return record.goes_on or record.was_cut or not record.is_answer


class Calibrator:
    """Turns outcomes into observations; an outcome without usage teaches nothing, least of all zero."""

    def __init__(self, prompts: PromptTokenEstimator, estimators: Estimators) -> None:
        self._prompts = prompts
        self._outputs = estimators.outputs
        self._latency = estimators.latency
        self._saved = MOST_LESSONS_SAVED
        self._saved_at = 0.0

    def learn(
        self,
        outcome: Outcome,
        load: LoadAtDecision | None = None,
        *,
        now: float,
        sequences_meanwhile: float | None = None,
        is_length_taught: bool = False,
    ) -> bool:
        """Teach the estimators from one outcome; True when there was something to learn.

        Args:
            outcome: What Envoy reported.
            load: The load that the request met on its instance; None when that is not known here.
            now: Seconds of a monotonic clock, against which lessons are rationed.
            sequences_meanwhile: Mean of the sequences beside it on its instance; None when that is not known.
            is_length_taught: True when `learn_answer` was told of this answer, as one that another would follow.
        """
        decision, usage = outcome.decision, outcome.usage
        is_whole = outcome.status == 200 and outcome.is_answered
        if decision is None or not decision.model or not is_whole or not self._may_learn(now):
            return False
        if load is not None and outcome.served_address is not None and outcome.instance_seconds is not None:
            known = (
                usage.prompt_tokens if usage and usage.prompt_tokens is not None else decision.prompt_tokens
            )
            self._latency.learn(
                outcome.served_address,
                load,
                prompt_tokens=known or 0,
                completion_tokens=usage.completion_tokens if usage else None,
                # Envoy tells of the first byte of the headers, which need not wait for the first token.
                ttft_seconds=None,
                # Beside the instance's time, that of the request has the client's upload in it.
                e2e_seconds=outcome.instance_seconds,
                attempts=outcome.attempts,
                sequences_meanwhile=sequences_meanwhile,
            )
        if usage is None:
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
        if usage.completion_tokens is not None and decision.choices == 1 and not is_length_taught:
            self._outputs.learn(
                decision.model,
                decision.text,
                usage.completion_tokens,
                was_cut=decision.output_is_given
                and decision.output_tokens is not None
                and usage.completion_tokens >= decision.output_tokens,
            )
        return True

    def learn_answer(
        self, record: VerdictRecord, met: Met, *, now: float, sequences_meanwhile: float | None
    ) -> None:
        """Teach the estimators from one judged answer, whether it is delivered or not.

        Args:
            record: What was said of it.
            met: What its try met.
            now: Seconds of a monotonic clock, against which lessons are rationed.
            sequences_meanwhile: Mean of the sequences beside it on its instance; None when that is not known.
        """
        if not self._may_learn(now):
            return
        if record.completion_tokens is not None and record.choices == 1 and is_all_taught(record):
            self._outputs.learn(record.model, met.text, record.completion_tokens, was_cut=record.was_cut)
        if met.load is None or met.address != record.address:
            # Envoy has gone on to a host that nobody looked at.
            return
        if record.answer_seconds is not None and record.prompt_tokens is not None:
            self._latency.learn(
                record.address,
                met.load,
                prompt_tokens=record.prompt_tokens,
                completion_tokens=record.completion_tokens,
                ttft_seconds=None,
                e2e_seconds=record.answer_seconds,
                attempts=1,
                sequences_meanwhile=sequences_meanwhile,
            )

    def _may_learn(self, now: float) -> bool:
        """Take a lesson out of what was saved, which refills at `LESSONS_PER_SECOND`."""
        elapsed = max(0.0, now - self._saved_at)
        self._saved = min(MOST_LESSONS_SAVED, self._saved + elapsed * LESSONS_PER_SECOND)
        self._saved_at = max(now, self._saved_at)
        if self._saved < 1.0:
            return False
        self._saved -= 1.0
        return True
