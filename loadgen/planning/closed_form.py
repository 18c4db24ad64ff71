"""What can be said without simulating: throughput of an instance, and the published formula for savings.

An instance that runs n sequences of p prompt and o output tokens (means) with a mean context of c spends
w(n) = W + H·n + A·n·c per decode iteration and p/R on each prompt. In steady state it finishes

    X(n) = n / (o·w(n) + n·p/R)        requests per second,

and a token takes w(n) + n·p/(R·o). From t = w + X·t·p/R and n = X·o·t.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from loadgen.planning.hardware import Hardware, PoolShape
from loadgen.planning.slo import Slo
from loadgen.planning.traffic import Floats, Sizes


@dataclass(frozen=True, slots=True)
class Saturation:
    """An instance at its limit.

    Attributes:
        requests_per_second: X.
        sequences: n that it runs.
        binding: What keeps it from running more: `slots`, `memory` or `tpot`.
    """

    requests_per_second: float
    sequences: int
    binding: str


def saturation(shape: PoolShape, hardware: Hardware, sizes: Sizes, slo: Slo) -> Saturation:
    """The most that one instance can do while its mean time per token keeps the SLO.

    Args:
        shape: How it is configured.
        hardware: What it is.
        sizes: What it serves, not empty.
        slo: Its TPOT limits n.
    """
    speed = hardware.speed
    prompt, output = float(sizes.prompt_tokens.mean()), float(sizes.output_tokens.mean())
    # A sequence is seen at a moment in proportion to its output: contexts are weighted by it.
    weights = sizes.output_tokens / sizes.output_tokens.sum()
    context = float(weights @ (sizes.prompt_tokens + sizes.output_tokens / 2))
    by_memory = max(1, int(hardware.kv_tokens / context))
    slope = speed.per_sequence_seconds + speed.per_context_token_seconds * context
    per_token = slope + prompt / (speed.prefill_tokens_per_second * output)
    by_tpot = (
        max(1, int((slo.tpot_seconds - speed.base_seconds) / per_token)) if per_token else shape.max_num_seqs
    )
    limits = {"slots": shape.max_num_seqs, "memory": by_memory, "tpot": by_tpot}
    binding = min(limits, key=limits.__getitem__)
    count = limits[binding]
    seconds = output * (speed.base_seconds + slope * count) + count * prompt / speed.prefill_tokens_per_second
    return Saturation(count / seconds, count, binding)


def published_savings(alpha: float, rho: float) -> float:
    """Share of the instances saved by dual pools, alpha (1 - 1/rho) (arXiv 2604.08075).

    Args:
        alpha: Share of the requests that the short pool takes, 0 to 1.
        rho: Throughput of a short instance over that of a long one, above 0.
    """
    return alpha * (1 - 1 / rho)


def idle_ttft_seconds(shape: PoolShape, hardware: Hardware, prompt_tokens: Floats) -> Floats:
    """Time to the first token on an instance that does nothing else: no fleet is faster."""
    speed = hardware.speed
    chunks = -(-prompt_tokens // shape.max_num_batched_tokens)
    result: Floats = (
        chunks * (speed.base_seconds + speed.per_sequence_seconds)
        + prompt_tokens / speed.prefill_tokens_per_second
    )
    return result


def beyond_reach_share(shape: PoolShape, hardware: Hardware, sizes: Sizes, slo: Slo) -> float:
    """Share of the requests, 0 to 1, whose first token an idle instance cannot give within the SLO."""
    idle = idle_ttft_seconds(shape, hardware, sizes.prompt_tokens.astype(np.float64))
    return float((idle > slo.ttft_seconds).mean())
