"""Speeds of real engines as plain figures, for whoever has no measurements at hand.

The fitted ones are the rows of the same name in `docs/simulated-vllm.md`, which gives each one's error. Their
sources: LLMServingSim's bench (RTX PRO 6000), aiconfigurator's silicon samples (H100, B200) and splitwise-sim's
performance model (A100). Capacity (sequences, KV blocks) is a matter of configuration and not part of a preset.
"""

from __future__ import annotations

from types import MappingProxyType

from loadgen.engine.speed import Speed


def _speed(
    base_ms: float, per_sequence_ms: float, per_context_token_ns: float, prefill_per_second: float
) -> Speed:
    return Speed(
        base_seconds=base_ms / 1e3,
        per_sequence_seconds=per_sequence_ms / 1e3,
        per_context_token_seconds=per_context_token_ns / 1e9,
        prefill_tokens_per_second=prefill_per_second,
    )


FITTED = MappingProxyType(
    {
        "Llama-3.1-8B, RTXPRO6000, tp 1, dp 1": _speed(12.20, 0.0751, 44.9, 24216),
        "Qwen3-30B-A3B-Instruct-2507, RTXPRO6000, tp 1, dp 2": _speed(19.78, 0.0860, 100.5, 13244),
        "Qwen3-32B, RTXPRO6000, tp 2, dp 1": _speed(23.60, 0.0141, 245.0, 6120),
        "Llama-3.1-70B, H100, fp8, tp 2": _speed(18.55, 0.0646, 0.0, 11719),
        "Llama-3.1-70B, H100, fp8, tp 4": _speed(11.22, 0.0483, 20.6, 17125),
        "Llama-3.1-70B, H100, fp8, tp 8": _speed(9.24, 0.0609, 2.5, 23746),
        "Llama-3.1-70B, B200, fp8, tp 1": _speed(15.79, 0.0084, 14.1, 10638),
        "gpt-oss-120b, H100, fp4, tp 2": _speed(4.55, 0.1343, 0.0, 28174),
        "llama2-70b, A100, tp 4": _speed(41.37, 0.1606, 578.1, 4333),
        "llama2-70b, A100, tp 8": _speed(42.52, 0.1928, 465.5, 6836),
    }
)
"""By model, GPU, precision and parallelism."""

RTXPRO6000_LLAMA3_8B = FITTED["Llama-3.1-8B, RTXPRO6000, tp 1, dp 1"]
RTXPRO6000_QWEN3_30B_A3B = FITTED["Qwen3-30B-A3B-Instruct-2507, RTXPRO6000, tp 1, dp 2"]
RTXPRO6000_QWEN3_32B = FITTED["Qwen3-32B, RTXPRO6000, tp 2, dp 1"]
H100_TP4_LLAMA3_70B = FITTED["Llama-3.1-70B, H100, fp8, tp 4"]
A100_TP4_LLAMA2_70B = FITTED["llama2-70b, A100, tp 4"]

A100_FLEET_SIM = _speed(8.0, 0.65, 0.0, 512 / (0.008 + 0.00065))
H100_FLEET_SIM = _speed(4.0, 0.32, 0.0, 1024 / (0.004 + 0.00032))
A10G_FLEET_SIM = _speed(12.0, 0.90, 0.0, 256 / (0.012 + 0.0009))
"""Constants of semantic-router's fleet simulator at 8192 tokens of context: assumed there, not fitted here.

It prefills one chunk (A100 512, H100 1024, A10G 256 tokens) per iteration; R is one chunk per lone iteration.
"""
