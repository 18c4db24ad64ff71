"""One simulated instance, as plain figures."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

from loadgen.engine.config import EngineConfig
from loadgen.engine.speed import Speed


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceSpec:
    """What one simulated vLLM instance serves, and how fast.

    Attributes:
        address: `ip:port` to listen on; port 0 takes a free one.
        model: First served model name; answers and metrics carry it.
        aliases: Further model names that are accepted.
        max_model_len: Most tokens (prompt and output) of one sequence.
        max_num_seqs: Most sequences in one iteration.
        max_num_batched_tokens: Most tokens in one iteration.
        max_num_queued_reqs: Most unfinished sequences before a 503; None for no limit.
        iteration_base_seconds: W of `EngineConfig`.
        iteration_per_sequence_seconds: H of `EngineConfig`.
        iteration_per_context_token_seconds: A of `EngineConfig`.
        prefill_tokens_per_second: R of `EngineConfig`.
        kv_blocks: KV-cache blocks of 16 tokens.
        time_scale: Simulated seconds per real second, above 0: 10 runs ten times faster than the hardware would.
        stream_flush_seconds: Tokens of a stream are written together at this real-time distance, the first and
            the last at once. vLLM writes every token; the sum is the same, the number of writes is not.
        output_tokens_median: Median output length where the request does not name one.
        output_tokens_sigma: Standard deviation of the logarithm of that length.
        strict_context: Refuse a request whose prompt and `max_tokens` together exceed the context, as vLLM did
            until mid-2026. vLLM 0.32 refuses only a prompt that is too long and cuts `max_tokens` silently.
        seed: Of answer lengths, answer words and injected faults.
    """

    address: str = "127.0.0.1:0"
    model: str = "simulated"
    aliases: tuple[str, ...] = ()
    max_model_len: int = 8192
    max_num_seqs: int = 128
    max_num_batched_tokens: int = 2048
    max_num_queued_reqs: int | None = None
    iteration_base_seconds: float = 0.008
    iteration_per_sequence_seconds: float = 0.00065
    iteration_per_context_token_seconds: float = 0.0
    prefill_tokens_per_second: float = 20_000.0
    kv_blocks: int = 16_384
    time_scale: float = 1.0
    stream_flush_seconds: float = 0.05
    output_tokens_median: float = 129.0
    output_tokens_sigma: float = 0.86
    strict_context: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse impossible figures.

        Raises:
            ValueError: With the field at fault.
        """
        host, colon, port = self.address.rpartition(":")
        if not (host and colon and port.isdigit() and int(port) <= 65_535):
            raise ValueError(f"address must be ip:port, got {self.address!r}")
        if not self.time_scale > 0:
            raise ValueError(f"time_scale must be above 0, got {self.time_scale}")
        if not self.output_tokens_median >= 1:
            raise ValueError(f"output_tokens_median must be at least 1, got {self.output_tokens_median}")
        self.engine_config()

    @property
    def host(self) -> str:
        """The address without its port, without the brackets of IPv6."""
        return self.address.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """The address's port; 0 for any."""
        return int(self.address.rpartition(":")[2])

    def at_speed(self, speed: Speed) -> Self:
        """The same instance on other hardware, for instance one of `loadgen.engine.presets`."""
        return replace(
            self,
            iteration_base_seconds=speed.base_seconds,
            iteration_per_sequence_seconds=speed.per_sequence_seconds,
            iteration_per_context_token_seconds=speed.per_context_token_seconds,
            prefill_tokens_per_second=speed.prefill_tokens_per_second,
        )

    def engine_config(self) -> EngineConfig:
        """The engine's share of the figures.

        Raises:
            ValueError: When no engine can have them.
        """
        return EngineConfig(
            iteration_base_seconds=self.iteration_base_seconds,
            iteration_per_sequence_seconds=self.iteration_per_sequence_seconds,
            iteration_per_context_token_seconds=self.iteration_per_context_token_seconds,
            prefill_tokens_per_second=self.prefill_tokens_per_second,
            max_num_seqs=self.max_num_seqs,
            max_num_batched_tokens=self.max_num_batched_tokens,
            max_model_len=self.max_model_len,
            kv_blocks=self.kv_blocks,
            max_num_queued_reqs=self.max_num_queued_reqs,
        )
