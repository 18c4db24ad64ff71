"""What goes into an engine and what comes out; times are seconds on the caller's clock."""

from __future__ import annotations

from dataclasses import dataclass, field


class QueueFullError(Exception):
    """The engine holds as many unfinished sequences as `max_num_queued_reqs` allows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineRequest:
    """One request; each of its outputs occupies one sequence.

    Attributes:
        request_id: Unique among the engine's unfinished requests.
        prompt_tokens: Tokens to prefill, at least 1.
        output_tokens: Tokens to generate, one entry per choice, each at least 1.
        cached_tokens: Leading prompt tokens whose KV is still there and need not be prefilled, at least 0. The last
            prompt token is computed in any case. They take blocks like the others.
    """

    request_id: str
    prompt_tokens: int
    output_tokens: tuple[int, ...]
    cached_tokens: int = 0


@dataclass(frozen=True, slots=True)
class FirstToken:
    """A sequence produced its first token."""

    request_id: str
    choice: int
    at_seconds: float


@dataclass(frozen=True, slots=True)
class Completion:
    """A sequence produced its last token.

    Attributes:
        scheduled_seconds: When it first left the waiting queue.
        preemptions: How often its KV blocks were taken and recomputed.
    """

    request_id: str
    choice: int
    prompt_tokens: int
    output_tokens: int
    submitted_seconds: float
    scheduled_seconds: float
    first_token_seconds: float
    finished_seconds: float
    preemptions: int


@dataclass(frozen=True, slots=True)
class DecodeGap:
    """Consecutive tokens of decoding sequences that came `seconds` apart (a mean over a run of iterations)."""

    seconds: float
    tokens: int


@dataclass(slots=True)
class StepResult:
    """What happened since the last call of `Engine.advance`, in order of time within each list."""

    first_tokens: list[FirstToken] = field(default_factory=list)
    completions: list[Completion] = field(default_factory=list)
    decode_gaps: list[DecodeGap] = field(default_factory=list)


@dataclass(slots=True)
class EngineTotals:
    """Counters since the start."""

    iterations: int = 0
    prompt_tokens: int = 0
    generation_tokens: int = 0
    preemptions: int = 0
    busy_seconds: float = 0.0
