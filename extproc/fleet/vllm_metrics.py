"""Reads the handful of load figures that routing needs out of a vLLM `/metrics` page.

A page of a real server has some 50 KB, nearly all of it histograms, and is read once a second per instance, so
only lines of the wanted metrics are looked at. Values of several engines (data parallel ranks) are added up; the
share of KV cache in use is averaged.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_LINE = re.compile(
    rb"^vllm:(num_requests_running|num_requests_waiting|kv_cache_usage_perc|gpu_cache_usage_perc"
    rb"|num_preemptions_total|num_preemptions)(?:\{[^}\n]*\})? +([^ \n]+)",
    re.MULTILINE,
)
_CACHE_CONFIG = re.compile(rb"^vllm:cache_config_info\{([^}\n]*)\}", re.MULTILINE)
_BLOCK_SIZE = re.compile(rb'block_size="(\d+)"')
_BLOCKS = re.compile(rb'num_gpu_blocks="(\d+)"')
_MOST_DIGITS = 12

MOST_SEQUENCES = 1e6
"""Sequences that one engine can have running or waiting; a page that tells of more is broken."""

MOST_KV_TOKENS = 10**12
"""Tokens that all KV caches behind one address can hold: hundreds of petabytes for any model."""

_MOST = {
    b"num_requests_running": MOST_SEQUENCES,
    b"num_requests_waiting": MOST_SEQUENCES,
    # A share that is above 1 by whatever way of counting is a full cache.
    b"kv_cache_usage_perc": 100.0,
    b"gpu_cache_usage_perc": 100.0,
    # A count of a server's whole life, as long as a double can count it.
    b"num_preemptions_total": 2.0**53,
    b"num_preemptions": 2.0**53,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceMetrics:
    """Load of one instance as it reported it.

    Attributes:
        running: Sequences in the running batch.
        waiting: Sequences in the waiting queue.
        kv_usage: Share of KV-cache blocks in use, 0 to 1.
        preemptions_total: Preemptions since the server started.
        kv_capacity_tokens: Tokens that the KV cache holds; None when not reported.
    """

    running: float
    waiting: float
    kv_usage: float
    preemptions_total: float
    kv_capacity_tokens: int | None


def parse_metrics(page: bytes) -> InstanceMetrics:
    """Read the figures from a page in Prometheus text format.

    Raises:
        ValueError: The page lacks the number of running or waiting requests, or a value is no number, NaN, below 0 or more
            than there can be: averages would keep it long after the page is well again.
    """
    totals: dict[bytes, float] = {}
    counts: dict[bytes, int] = {}
    for name, value in _LINE.findall(page):
        totals[name] = totals.get(name, 0.0) + _figure(name, value)
        counts[name] = counts.get(name, 0) + 1
    if b"num_requests_running" not in totals or b"num_requests_waiting" not in totals:
        raise ValueError("the page has no vllm:num_requests_running or no vllm:num_requests_waiting")
    usage_name = b"kv_cache_usage_perc" if b"kv_cache_usage_perc" in totals else b"gpu_cache_usage_perc"
    preemptions = totals.get(b"num_preemptions_total", totals.get(b"num_preemptions", 0.0))
    return InstanceMetrics(
        running=totals[b"num_requests_running"],
        waiting=totals[b"num_requests_waiting"],
        kv_usage=min(1.0, totals.get(usage_name, 0.0) / counts.get(usage_name, 1)),
        preemptions_total=preemptions,
        kv_capacity_tokens=_kv_capacity_tokens(page),
    )


def _figure(name: bytes, text: bytes) -> float:
    value, most = float(text), _MOST[name]
    # NaN fails every comparison.
    if not 0.0 <= value <= most:
        raise ValueError(f"vllm:{name.decode()}: expected a number from 0 to {most:g}, got {value}")
    return value


def _kv_capacity_tokens(page: bytes) -> int | None:
    total = 0
    for labels in _CACHE_CONFIG.findall(page):
        block_size, blocks = _BLOCK_SIZE.search(labels), _BLOCKS.search(labels)
        if block_size and blocks:
            total += _count(block_size.group(1)) * _count(blocks.group(1))
    if total > MOST_KV_TOKENS:
        raise ValueError(f"vllm:cache_config_info: expected at most {MOST_KV_TOKENS} tokens, got {total}")
    return total or None


def _count(digits: bytes) -> int:
    """Read digits, of which Python refuses thousands; those beyond `_MOST_DIGITS` are too many in any case."""
    return int(digits) if len(digits) <= _MOST_DIGITS else MOST_KV_TOKENS + 1
