"""The four figures that make an engine fast or slow."""

from __future__ import annotations

from dataclasses import dataclass

from loadgen.engine.config import EngineConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """W, H, A and R of `EngineConfig`, without its capacity.

    Attributes:
        base_seconds: W.
        per_sequence_seconds: H.
        per_context_token_seconds: A.
        prefill_tokens_per_second: R.
    """

    base_seconds: float
    per_sequence_seconds: float
    per_context_token_seconds: float
    prefill_tokens_per_second: float

    def engine_config(
        self, *, max_num_seqs: int, max_num_batched_tokens: int, max_model_len: int, kv_blocks: int
    ) -> EngineConfig:
        """An engine of this speed and that capacity.

        Raises:
            ValueError: When no engine can have it.
        """
        return EngineConfig(
            iteration_base_seconds=self.base_seconds,
            iteration_per_sequence_seconds=self.per_sequence_seconds,
            iteration_per_context_token_seconds=self.per_context_token_seconds,
            prefill_tokens_per_second=self.prefill_tokens_per_second,
            max_num_seqs=max_num_seqs,
            max_num_batched_tokens=max_num_batched_tokens,
            max_model_len=max_model_len,
            kv_blocks=kv_blocks,
        )
