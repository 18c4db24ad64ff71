from __future__ import annotations

import pytest

from extproc.fleet.vllm_metrics import InstanceMetrics, parse_metrics

PAGE = b"""\
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="tiny"} 3.0
vllm:num_requests_waiting{engine="0",model_name="tiny"} 2.0
vllm:num_requests_waiting_by_reason{engine="0",model_name="tiny",reason="capacity"} 99.0
vllm:kv_cache_usage_perc{engine="0",model_name="tiny"} 0.25
vllm:num_preemptions_total{engine="0",model_name="tiny"} 7.0
vllm:num_preemptions_created{engine="0",model_name="tiny"} 1.79e+09
vllm:cache_config_info{block_size="16",engine="0",num_gpu_blocks="160",num_cpu_blocks="None"} 1.0
"""


def test_reads_the_figures_of_a_page() -> None:
    """Running, waiting, KV use, preemptions and KV capacity are read; look-alike names are not."""
    expected = InstanceMetrics(
        running=3.0, waiting=2.0, kv_usage=0.25, preemptions_total=7.0, kv_capacity_tokens=2560
    )

    assert expected == parse_metrics(PAGE)


def test_adds_up_engines() -> None:
    """Counts of several engines are added up, their KV use is averaged."""
    page = PAGE + PAGE.replace(b'engine="0"', b'engine="1"').replace(b"} 0.25", b"} 0.75")
    expected = InstanceMetrics(
        running=6.0, waiting=4.0, kv_usage=0.5, preemptions_total=14.0, kv_capacity_tokens=5120
    )

    assert expected == parse_metrics(page)


def test_reads_the_older_name_of_the_kv_gauge() -> None:
    """Servers before the renaming report gpu_cache_usage_perc."""
    metrics = parse_metrics(PAGE.replace(b"vllm:kv_cache_usage_perc", b"vllm:gpu_cache_usage_perc"))

    assert metrics.kv_usage == 0.25


@pytest.mark.parametrize(
    "page", [b"", b"<html>", b"vllm:num_requests_running 1.0\n", PAGE.replace(b"} 3.0", b"} x")]
)
def test_refuses_a_page_without_the_figures(page: bytes) -> None:
    """A page of something else, or a broken one, is an error and not an idle instance."""
    with pytest.raises(ValueError, match=r"vllm|float"):
        parse_metrics(page)


@pytest.mark.parametrize("figure", [b"NaN", b"+Inf", b"-1.0", b"1e300"])
@pytest.mark.parametrize("line", [b"} 3.0", b"} 2.0", b"} 0.25", b"} 7.0"])
def test_refuses_a_figure_that_counts_nothing(line: bytes, figure: bytes) -> None:
    """A figure that is no number, below 0 or beyond what any engine can hold makes the page unreadable."""
    with pytest.raises(ValueError, match=r"vllm:[a-z_]+: expected a number from 0 to"):
        parse_metrics(PAGE.replace(line, b"} " + figure))


def test_full_cache_may_be_rounded_up() -> None:
    """A share of a little over 1 is a full cache."""
    assert parse_metrics(PAGE.replace(b"} 0.25", b"} 1.0000001")).kv_usage == 1.0


@pytest.mark.parametrize("blocks", [b"9" * 30, b"9" * 400, b"9" * 5000])
def test_refuses_a_cache_of_more_tokens_than_can_be(blocks: bytes) -> None:
    """A number of cache blocks that no memory holds makes the page unreadable."""
    with pytest.raises(ValueError, match="vllm:cache_config_info: expected at most"):
        parse_metrics(PAGE.replace(b'num_gpu_blocks="160"', b'num_gpu_blocks="' + blocks + b'"'))
