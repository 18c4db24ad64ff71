"""One sequence inside the engine. Its progress is derived from the engine's iteration count, not stored per token."""

from __future__ import annotations

import enum


class Phase(enum.Enum):
    """Where a sequence stands."""

    WAITING = "waiting"
    PREFILL = "prefill"
    DECODE = "decode"
    DONE = "done"


class Sequence:
    """One prompt and the output it is to produce.

    Attributes:
        prefill_target: Tokens to prefill; after a preemption the tokens generated so far are among them.
        prefill_left: Those still to do.
        generated: Output tokens at the iteration `decode_since`.
        decode_since: Iteration count when it began (or resumed) to decode.
    """

    __slots__ = (
        "choice",
        "decode_since",
        "first_token_seconds",
        "generated",
        "output_tokens",
        "phase",
        "preemptions",
        "prefill_left",
        "prefill_target",
        "prompt_tokens",
        "request_id",
        "scheduled_seconds",
        "serial",
        "submitted_seconds",
    )

    def __init__(
        self,
        serial: int,
        *,
        request_id: str,
        choice: int,
        prompt_tokens: int,
        output_tokens: int,
        submitted_seconds: float,
        cached_tokens: int = 0,
    ) -> None:
        self.serial = serial
        self.request_id = request_id
        self.choice = choice
        self.prompt_tokens = prompt_tokens
        self.output_tokens = output_tokens
        self.submitted_seconds = submitted_seconds
        self.phase = Phase.WAITING
        self.prefill_target = prompt_tokens
        self.prefill_left = max(1, prompt_tokens - cached_tokens)
        self.generated = 0
        self.decode_since = 0
        self.scheduled_seconds: float | None = None
        self.first_token_seconds: float | None = None
        self.preemptions = 0

    def generated_at(self, iteration: int) -> int:
        """Output tokens produced when `iteration` iterations have run."""
        if self.phase is Phase.DECODE:
            return self.generated + iteration - self.decode_since
        return self.generated

    def context_at(self, iteration: int) -> int:
        """Tokens whose KV is stored: the newest output token's KV is written by the next iteration."""
        return self.prompt_tokens + max(self.generated_at(iteration) - 1, 0)

    def done_at(self) -> int:
        """Iteration count at which a decoding sequence has its last token."""
        return self.decode_since + self.output_tokens - self.generated
