from __future__ import annotations

import re

import pytest

from loadgen.engine.config import EngineConfig
from loadgen.engine.core import Engine
from loadgen.engine.records import Completion, DecodeGap
from loadgen.vllm.metrics import EngineMetrics, token_buckets

LINE = re.compile(r'^vllm:[a-z_0-9]+\{([a-z_]+="[^"]*",?)+\} [0-9.e+-]+$')
NAMES = (
    'vllm:num_requests_running{engine="0",model_name="m"}',
    'vllm:num_requests_waiting{engine="0",model_name="m"}',
    'vllm:kv_cache_usage_perc{engine="0",model_name="m"}',
    'vllm:num_preemptions_total{engine="0",model_name="m"}',
    'vllm:prompt_tokens_total{engine="0",model_name="m"}',
    'vllm:generation_tokens_total{engine="0",model_name="m"}',
    'vllm:request_success_total{engine="0",finished_reason="stop",model_name="m"}',
    'vllm:time_to_first_token_seconds_bucket{engine="0",le="0.001",model_name="m"}',
    'vllm:inter_token_latency_seconds_count{engine="0",model_name="m"}',
    'vllm:e2e_request_latency_seconds_sum{engine="0",model_name="m"}',
    'vllm:request_queue_time_seconds_bucket{engine="0",le="+Inf",model_name="m"}',
    'vllm:request_generation_tokens_bucket{engine="0",le="50.0",model_name="m"}',
)


def an_engine() -> Engine:
    """An idle engine of 100 tokens of context."""
    return Engine(
        EngineConfig(
            iteration_base_seconds=1.0,
            iteration_per_sequence_seconds=0.0,
            prefill_tokens_per_second=1.0,
            max_model_len=100,
            kv_blocks=10,
        )
    )


def page(metrics: EngineMetrics) -> list[str]:
    """The lines of the page."""
    return metrics.render(an_engine()).splitlines()


@pytest.mark.parametrize("series", NAMES)
def test_series_have_vllms_names_and_labels(series: str) -> None:
    """What a scraper of vLLM 0.32 looks for is there, label for label."""
    assert [series] == [
        line.split(" ")[0] for line in page(EngineMetrics("m", 100)) if line.startswith(series)
    ]


def test_every_line_is_well_formed() -> None:
    """Each series line has labels and a number, and its family a type before it."""
    lines = page(EngineMetrics("m", 100))
    typed = {line.split(" ")[2] for line in lines if line.startswith("# TYPE")}
    for line in lines:
        if not line.startswith("#"):
            assert LINE.match(line)
            name = line.partition("{")[0]
            assert name in typed or name.rpartition("_")[0] in typed


def test_times_are_those_of_the_clients_clock() -> None:
    """A sped-up instance reports real seconds, in cumulative buckets."""
    metrics = EngineMetrics("m", 100)
    metrics.observe_completion(Completion("r", 0, 10, 5, 0.0, 1.0, 2.0, 6.0, 0), "stop", time_scale=10.0)
    metrics.observe_gaps([DecodeGap(0.1, 4)])
    lines = page(metrics)
    label = 'engine="0",model_name="m"'
    for expected in (
        f"vllm:time_to_first_token_seconds_sum{{{label}}} 0.2",
        f"vllm:request_queue_time_seconds_sum{{{label}}} 0.1",
        f"vllm:request_decode_time_seconds_sum{{{label}}} 0.4",
        f"vllm:request_time_per_output_token_seconds_sum{{{label}}} 0.1",
        f"vllm:inter_token_latency_seconds_count{{{label}}} 4.0",
        'vllm:time_to_first_token_seconds_bucket{engine="0",le="0.1",model_name="m"} 0.0',
        'vllm:time_to_first_token_seconds_bucket{engine="0",le="0.25",model_name="m"} 1.0',
        'vllm:time_to_first_token_seconds_bucket{engine="0",le="+Inf",model_name="m"} 1.0',
    ):
        assert expected in lines


def test_token_buckets_end_at_the_context() -> None:
    """1-2-5 steps up to max_model_len, as vLLM builds them."""
    assert (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0) == token_buckets(400)
