"""The recommended fleet as a fleet file, checked by the service's own parser before anyone sees it."""

from __future__ import annotations

import json
from pathlib import Path

from extproc.settings.load import parse_settings
from loadgen.planning.advise import Advice, Option, PlanRequest
from loadgen.planning.topology import SPILL_AT, addresses

_TOKENS_PER_PRICE = 1e6
_SECONDS_PER_HOUR = 3600


def fleet_file(advice: Advice, option: Option, *, model: str) -> str:
    """Write a fleet file for an option that has a size.

    Args:
        advice: What it comes from.
        option: The fleet.
        model: Name that the instances serve first.

    Raises:
        SettingsError: The text is no valid fleet file: a mistake here, or a model name that none can have.
    """
    request = advice.request
    lines = [
        "# Written by `ttca plan`. The addresses are placeholders: put your instances in.",
        "# One GPU price per token for all: what the planned fleet costs over the tokens of the planned load.",
        "version: 1",
        "pools:",
    ]
    for pool in option.pools:
        limit = f", threshold_tokens: {pool.threshold_tokens}" if pool.threshold_tokens is not None else ""
        lines.append(f"  - {{name: {pool.shape.name}{limit}, spill_at: {SPILL_AT}}}")
    lines.append("clusters:")
    speed = request.hardware.speed
    price = _usd_per_mtok(request, option)
    for number, pool in enumerate(option.pools):
        shape = pool.shape
        flags = (
            f"vllm serve --max-model-len {shape.max_model_len} --max-num-seqs {shape.max_num_seqs} "
            f"--max-num-batched-tokens {shape.max_num_batched_tokens}"
        )
        lines += [
            f"  - name: {shape.name}-pool",
            f"    model: {json.dumps(model)}",
            f"    pool: {shape.name}",
            f"    max_model_len: {shape.max_model_len}    # {flags}",
            f"    max_num_seqs: {shape.max_num_seqs}",
            f"    price_usd_per_mtok: {{input: {price:.6f}, output: {price:.6f}}}",
            "    speed:",
            f"      iteration_base_seconds: {speed.base_seconds:.6f}",
            f"      iteration_per_sequence_seconds: {speed.per_sequence_seconds:.8f}",
            f"      prefill_tokens_per_second: {speed.prefill_tokens_per_second:.1f}",
            f"    instances:    # {pool.instances}",
            *(f"      - {address}" for address in addresses(number, pool.instances)),
        ]
    # The spread of loads that shortest_queue gives is what the sizes were found with.
    lines += ["aliases:", f"  auto: [{json.dumps(model)}]", "policy:", "  name: shortest_queue", ""]
    text = "\n".join(lines)
    parse_settings(text, Path("fleet.yaml"))
    return text


def _usd_per_mtok(request: PlanRequest, option: Option) -> float:
    per_hour = (option.instances or 0) * request.hardware.gpus * request.hardware.usd_per_gpu_hour
    tokens = request.rate * float(request.sizes.total_tokens.mean()) * _SECONDS_PER_HOUR
    return per_hour * _TOKENS_PER_PRICE / tokens
