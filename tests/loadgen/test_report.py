from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from loadgen.client import RequestRecord
from loadgen.report import Summary, print_table, quantiles, summarize, tpot_seconds


def a_record(
    index: int = 0,
    *,
    start: float = 0.0,
    lag: float = 0.0,
    ttft: float | None = None,
    e2e: float = 1.0,
    tokens: int | None = 11,
    error: str | None = None,
    status: int | None = 200,
    attempts: int | None = 1,
    instance: str = "10.0.0.1:8000",
    model: str = "m",
) -> RequestRecord:
    """A record of a request that went well, unless told otherwise."""
    return RequestRecord(
        index=index,
        path="/v1/chat/completions",
        model="auto",
        kind="prose",
        stream=ttft is not None,
        wanted_prompt_tokens=10,
        wanted_output_tokens=11,
        intended_start_seconds=start,
        actual_start_seconds=start + lag,
        status=status,
        error=error,
        error_detail="" if error is None else f"{error} happened",
        ttft_seconds=ttft,
        e2e_seconds=e2e,
        chunks=0,
        bytes_received=100,
        prompt_tokens=None if tokens is None else 10,
        completion_tokens=tokens,
        finish_reason="stop",
        answered_model=model,
        instance=instance,
        attempts=attempts,
        upstream_seconds=None,
        request_id="",
    )


def a_summary(records: list[RequestRecord], pools: dict[str, str] | None = None) -> Summary:
    """The summary of some records."""
    return summarize(
        records,
        workload="azure_conv: generated (no data folder), fitted to Azure/AzurePublicDataset",
        seed=3,
        pools=pools,
    )


def test_quantiles_are_exact_and_interpolated() -> None:
    """Quantiles interpolate linearly between order statistics, as numpy's default does."""
    figures = quantiles([1.0, None, 2.0, 3.0, 4.0])

    assert {"p50": 2.5, "p90": 3.7, "p99": 3.97, "mean": 2.5} == pytest.approx(figures)
    assert quantiles([None]) is None


def test_time_per_output_token_leaves_out_the_first_token() -> None:
    """TPOT is the time after the first token over the tokens after it; unknown for plain or one-token answers."""
    assert 0.05 == pytest.approx(tpot_seconds(a_record(ttft=0.5, e2e=1.0, tokens=11)))
    assert tpot_seconds(a_record(ttft=0.5, tokens=1)) is None
    assert tpot_seconds(a_record(ttft=0.5, tokens=None)) is None
    assert tpot_seconds(a_record(tokens=11)) is None


def test_errors_count_apart_from_latencies() -> None:
    """Failed requests are counted by kind and status, and leave the latencies of the others alone."""
    summary = a_summary(
        [
            a_record(e2e=1.0),
            a_record(e2e=3.0),
            a_record(e2e=90.0, error="timeout", status=None, tokens=None),
            a_record(e2e=0.1, error="status", status=503, tokens=None),
            a_record(e2e=0.1, error="status", status=503, tokens=None),
        ]
    )

    assert (5, 3) == (summary["requests"], summary["errors"])
    assert {"status 503": 2, "timeout": 1} == summary["errors_by_kind"]
    assert {"status 503": "status happened", "timeout": "timeout happened"} == summary["error_samples"]
    assert 2.0 == summary["e2e_s"]["mean"]
    assert summary["ttft_s"] is None


def test_retries_are_attempts_beyond_the_first() -> None:
    """Retries sum up the attempt counts less one; answers without a count are told apart."""
    summary = a_summary([a_record(attempts=1), a_record(attempts=3), a_record(attempts=None)])

    assert (2, 1, 2) == (summary["retries"], summary["retried_requests"], summary["attempts_known"])


def test_throughput_is_over_the_whole_run() -> None:
    """Throughput divides by the time from the run's start to the last answer, errors included in the time."""
    summary = a_summary([a_record(e2e=1.0, tokens=20), a_record(start=6.0, e2e=4.0, tokens=30)])

    assert 10.0 == summary["duration_s"]
    assert 0.2 == summary["throughput"]["requests_per_s"]
    assert 5.0 == summary["throughput"]["output_tokens_per_s"]


def test_groups_are_told_apart_by_instance_model_and_pool() -> None:
    """Each instance, model and pool has its own figures, the busiest first; unknown ones are left out."""
    summary = a_summary(
        [
            a_record(instance="a:1", ttft=0.1),
            a_record(instance="b:1", ttft=0.3),
            a_record(instance="b:1", error="timeout", ttft=0.2),
            a_record(instance="", model=""),
        ],
        pools={"a:1": "short", "b:1": "long"},
    )

    assert ["b:1", "a:1"] == list(summary["by_instance"])
    assert (2, 1) == (summary["by_instance"]["b:1"]["requests"], summary["by_instance"]["b:1"]["errors"])
    assert 0.3 == summary["by_pool"]["long"]["ttft_s"]["p50"]
    assert 3 == summary["by_model"]["m"]["requests"]


def test_a_late_generator_is_called_the_bottleneck() -> None:
    """The schedule lag is reported, and a 99th percentile above 50 ms raises the warning."""
    calm = a_summary([a_record(lag=0.001)] * 100)
    late = a_summary([a_record(lag=0.2)] * 10 + [a_record(lag=0.001)] * 90)

    assert not calm["schedule_lag_s"]["is_bottleneck"]
    assert late["schedule_lag_s"]["is_bottleneck"]
    assert 0.2 == late["schedule_lag_s"]["max"]


def test_an_empty_run_has_a_summary() -> None:
    """No records give zeros and no latencies, and can be printed and written."""
    summary = a_summary([])

    assert 0 == summary["requests"]
    assert summary["e2e_s"] is None
    assert json.loads(json.dumps(summary)) == summary
    print_table(summary, Console(file=io.StringIO()))


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_fits_the_terminal(width: int) -> None:
    """Nothing is cut off or wrapped within a row, and source, errors and the lag warning are all said."""
    sink = io.StringIO()
    records = [a_record(ttft=0.2, lag=0.3, instance="127.0.0.1:18101", model="llama-3.1-8b")] * 5
    records += [a_record(error="status", status=500, instance="127.0.0.1:18102")]
    print_table(a_summary(records, pools={"127.0.0.1:18101": "short"}), Console(file=sink, width=width))
    printed = sink.getvalue()

    assert max(len(line) for line in printed.splitlines()) <= width
    assert "generated (no data folder)" in printed
    assert "1 x status 500" in printed
    assert "bottleneck" in printed
    for name in ("short", "llama-3.1-8b", "127.0.0.1:18101"):
        row = next(line for line in printed.splitlines() if line.startswith(name))
        assert "200 ms" in row
        assert "…" not in row
