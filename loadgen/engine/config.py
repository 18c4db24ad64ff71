"""What one engine can hold and how long its iterations take; validated on construction."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineConfig:
    """Capacity and speed of one engine.

    An iteration over n sequences, of which d decode with c tokens of context in total, and that prefills p
    prompt tokens lasts

        t = W + H·n + A·c + p / R        seconds.

    t = W + H·n is the iteration model of vLLM's fleet simulator; A is the part of decode attention that grows
    with the context, 0 when not measured; R is the speed of chunked prefill.

    Attributes:
        iteration_base_seconds: W, at least 0.
        iteration_per_sequence_seconds: H, at least 0.
        iteration_per_context_token_seconds: A, at least 0.
        prefill_tokens_per_second: R, above 0.
        max_num_seqs: Most sequences in one iteration.
        max_num_batched_tokens: Most tokens (one per decoding sequence, the rest prefill) in one iteration.
        max_model_len: Most tokens (prompt and output) of one sequence.
        kv_blocks: KV-cache blocks; together they must hold at least one sequence of `max_model_len`.
        block_size: Tokens per block.
        max_num_queued_reqs: Most unfinished sequences, running ones included; None for no limit.
    """

    iteration_base_seconds: float
    iteration_per_sequence_seconds: float
    prefill_tokens_per_second: float
    iteration_per_context_token_seconds: float = 0.0
    max_num_seqs: int = 128
    max_num_batched_tokens: int = 2048
    max_model_len: int = 8192
    kv_blocks: int = 65_536
    block_size: int = 16
    max_num_queued_reqs: int | None = None

    def __post_init__(self) -> None:
        """Refuse what no engine could run.

        Raises:
            ValueError: With the field at fault and what was expected.
        """
        times = (
            self.iteration_base_seconds,
            self.iteration_per_sequence_seconds,
            self.iteration_per_context_token_seconds,
        )
        if min(times) < 0 or not sum(times) > 0:
            raise ValueError(f"iteration times must be at least 0 and not all 0, got {times}")
        if not self.prefill_tokens_per_second > 0:
            raise ValueError(
                f"prefill_tokens_per_second must be above 0, got {self.prefill_tokens_per_second}"
            )
        for name in ("max_num_seqs", "max_model_len", "kv_blocks", "block_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.max_num_batched_tokens < self.max_num_seqs:
            raise ValueError(
                f"max_num_batched_tokens ({self.max_num_batched_tokens}) must be at least "
                f"max_num_seqs ({self.max_num_seqs}): every decoding sequence needs a token"
            )
        if self.kv_blocks * self.block_size < self.max_model_len:
            raise ValueError(
                f"kv_blocks ({self.kv_blocks}) of {self.block_size} tokens must hold a sequence of "
                f"max_model_len ({self.max_model_len}) tokens"
            )
