"""What a fleet is built of: how fast one instance is, what it holds and costs, and how pools configure it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from loadgen.engine.config import EngineConfig
from loadgen.engine.speed import Speed

BLOCK_TOKENS = 16
HOURS_PER_YEAR = 8760


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardware:
    """One kind of instance.

    Attributes:
        name: What it is, for tables.
        speed: W, H, A and R.
        kv_blocks: KV blocks of 16 tokens that its memory holds, whatever vLLM is configured for.
        gpus: GPUs per instance.
        usd_per_gpu_hour: Price of one GPU for an hour.
    """

    name: str
    speed: Speed
    kv_blocks: int
    gpus: int
    usd_per_gpu_hour: float

    def __post_init__(self) -> None:
        if self.kv_blocks < 1 or self.gpus < 1 or not self.usd_per_gpu_hour >= 0:
            raise ValueError(
                f"{self.name}: kv_blocks and gpus must be at least 1 and the price not negative, "
                f"got {self.kv_blocks}, {self.gpus}, {self.usd_per_gpu_hour}"
            )

    @property
    def kv_tokens(self) -> int:
        """Tokens that the KV cache holds."""
        return self.kv_blocks * BLOCK_TOKENS

    def usd_per_year(self, instances: float) -> float:
        """What instances cost in a year."""
        return instances * self.gpus * self.usd_per_gpu_hour * HOURS_PER_YEAR


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolShape:
    """How the instances of a pool are configured.

    Attributes:
        name: Name of the pool.
        max_model_len: Most tokens of one sequence.
        max_num_seqs: Most sequences of one iteration.
        max_num_batched_tokens: Most tokens of one iteration.
    """

    name: str
    max_model_len: int
    max_num_seqs: int
    max_num_batched_tokens: int

    def engine(self, hardware: Hardware) -> EngineConfig:
        """An engine of this shape on that hardware.

        Raises:
            ValueError: The hardware cannot hold one sequence of `max_model_len`, or a figure makes no sense.
        """
        config = hardware.speed.engine_config(
            max_num_seqs=self.max_num_seqs,
            max_num_batched_tokens=max(self.max_num_batched_tokens, self.max_num_seqs),
            max_model_len=self.max_model_len,
            kv_blocks=hardware.kv_blocks,
        )
        return replace(config, block_size=BLOCK_TOKENS)
