"""The instances of the study: as published, and two that were measured."""

from __future__ import annotations

from loadgen.engine.presets import A100_FLEET_SIM, FITTED
from loadgen.engine.speed import Speed
from loadgen.planning.hardware import Hardware, PoolShape

KV_BYTES_PER_TOKEN = 2 * 80 * 8 * 128 * 2
"""Keys and values of 80 layers, 8 KV heads of 128 numbers of 2 bytes: Llama-3-70B, 327,680 bytes."""

PARAMETERS = 70.6e9
"""Of Llama-3-70B."""

MEMORY_SHARE = 0.9
"""vLLM's default `gpu_memory_utilization`."""

A100_USD_PER_HOUR = 2.21
H100_USD_PER_HOUR = 4.02
"""Prices of the authors' fleet simulator."""

HOMOGENEOUS = PoolShape(name="all", max_model_len=65_536, max_num_seqs=16, max_num_batched_tokens=8_192)
HONEST = PoolShape(name="all", max_model_len=65_536, max_num_seqs=128, max_num_batched_tokens=8_192)
SHORT = PoolShape(name="short", max_model_len=8_192, max_num_seqs=128, max_num_batched_tokens=16_384)
LONG = PoolShape(name="long", max_model_len=65_536, max_num_seqs=16, max_num_batched_tokens=8_192)

PUBLISHED_RATES = {16: 2.8, 128: 11.2}
"""Requests per second of an instance, by sequences at once."""

MEAN_PROMPT_TOKENS = 1154.7
MEAN_OUTPUT_TOKENS = 211.1
"""Of the Azure conversation trace: what the published rates are taken to be for."""


def published_speed() -> Speed:
    """The speed that makes an instance do what is published with 16 and with 128 sequences.

    W and H are not published. n sequences take n/X = o·(W + H·n) + n·p/R seconds per round of requests (see
    `loadgen.planning.closed_form`); with the published X of 16 and of 128 sequences these are two equations in W and
    H. R is that of the authors' fleet simulator.
    """
    rate = A100_FLEET_SIM.prefill_tokens_per_second
    per_iteration = {
        count: (count / requests - count * MEAN_PROMPT_TOKENS / rate) / MEAN_OUTPUT_TOKENS
        for count, requests in PUBLISHED_RATES.items()
    }
    few, many = sorted(PUBLISHED_RATES)
    slope = (per_iteration[many] - per_iteration[few]) / (many - few)
    return Speed(
        base_seconds=per_iteration[few] - few * slope,
        per_sequence_seconds=slope,
        per_context_token_seconds=0.0,
        prefill_tokens_per_second=rate,
    )


def kv_blocks(gpus: int, weight_bytes: float, memory_share: float = MEMORY_SHARE) -> int:
    """Blocks of 16 tokens that 80 GB GPUs hold beside the weights; negative when the weights do not fit."""
    free = memory_share * gpus * 80e9 - PARAMETERS * weight_bytes
    return int(free // (16 * KV_BYTES_PER_TOKEN))


PUBLISHED = Hardware(
    name="as published",
    speed=published_speed(),
    kv_blocks=65_536,
    gpus=1,
    usd_per_gpu_hour=A100_USD_PER_HOUR,
)
"""65,536 blocks hold 16 sequences of 64K or 128 of 8K: the published table, at one `GPU` per instance as there."""

A100_TP4 = Hardware(
    name="4 x A100, measured",
    speed=FITTED["llama2-70b, A100, tp 4"],
    kv_blocks=kv_blocks(4, 2),
    gpus=4,
    usd_per_gpu_hour=A100_USD_PER_HOUR,
)
H100_TP4 = Hardware(
    name="4 x H100 FP8, measured",
    speed=FITTED["Llama-3.1-70B, H100, fp8, tp 4"],
    kv_blocks=kv_blocks(4, 1),
    gpus=4,
    usd_per_gpu_hour=H100_USD_PER_HOUR,
)

MEMORY_CASES = {
    1_048_576: "the published table",
    448_000: "4 GPUs, BF16",
    224_000: "2 GPUs, FP8 weights",
    66_000: "one sequence of 64K",
}
"""Tokens of KV cache that preemptions are counted with; two GPUs with BF16 weights have room for none of these."""
