from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from loadgen.bench.arms import ArmName
from loadgen.bench.cases import Case, Extent, extent
from loadgen.bench.report import bench_summary, show
from loadgen.bench.run import BenchResult, Sample

AIMED = Case(body_bytes=2048, model="auto", sample_ratio=0.0, requests_per_round=100, has_aim=True)
PACED = Case(body_bytes=2048, model="m", sample_ratio=1.0, requests_per_round=100, per_second=50.0)


def a_result(service_ms: float = 60.0, background: float = 0.0) -> BenchResult:
    """Three rounds of 100 requests in one second: 30 ms of CPU for the no-op service, and a noisy last round."""

    def samples(cpu_ms: float, latency_ms: float) -> tuple[Sample, ...]:
        return tuple(
            Sample(
                requests=100,
                elapsed_seconds=1.0,
                service_cpu_seconds=noise * cpu_ms / 1e3 + background,
                envoy_cpu_seconds=noise * 0.04,
                latencies_seconds=(noise * latency_ms / 1e3,) * 100,
            )
            for noise in (1.0, 1.0, 3.0)
        )

    arms = {ArmName.SERVICE: (service_ms, 3.0), ArmName.NOOP: (30.0, 2.0), ArmName.NONE: (3.0, 1.0)}
    return BenchResult(
        extent=Extent(rounds=3, cases=(AIMED, PACED)),
        seed=1,
        samples={(case, arm): samples(*figures) for case in (AIMED, PACED) for arm, figures in arms.items()},
        background_cpu_ratio=dict.fromkeys(ArmName, background),
    )


def test_every_case_and_arm_has_a_row() -> None:
    """Rows state what was asked, how, of whom, and every figure with its unit."""
    rows = bench_summary(a_result())["rows"]

    assert [(2048, "4 at once"), (2048, "50 requests/s")] == [
        (row["body_bytes"], row["load"]) for row in rows if row["arm"] == "noop"
    ]
    assert ["service", "noop", "none"] * 2 == [row["arm"] for row in rows]
    assert {300} == {row["requests"] for row in rows}


def test_figures_are_per_request_and_paired_by_round() -> None:
    """600 µs against 300 µs is a ratio of 2 in every round, the noisy one included."""
    service, noop, none = bench_summary(a_result())["rows"][:3]

    assert pytest.approx(600.0) == service["cpu_us_per_request"]
    assert pytest.approx(400.0) == service["envoy_cpu_us_per_request"]
    assert (pytest.approx(2.0), [pytest.approx(2.0)] * 2) == (service["cpu_ratio_to_noop"], service["ci95"])
    assert 1.0 == noop["cpu_ratio_to_noop"]
    assert pytest.approx(0.1) == none["cpu_ratio_to_noop"]
    assert pytest.approx(2.0) == service["added_latency_ms_over_none"]["p50"]["median"]
    assert pytest.approx(3.0) == service["latency_ms"]["p50"]
    assert pytest.approx(9.0) == service["latency_ms"]["p99"]


def test_what_nobody_asked_for_is_no_requests_cost() -> None:
    """Background work is taken off each round and stated by itself."""
    summary = bench_summary(a_result(background=0.05))

    assert pytest.approx(600.0) == summary["rows"][0]["cpu_us_per_request"]
    assert pytest.approx(50.0) == summary["background_cpu_ms_per_second"]["service"]


@pytest.mark.parametrize(("service_ms", "is_met"), [(45.0, True), (46.0, False)])
def test_the_aim_is_held_against_its_own_case(service_ms: float, is_met: bool) -> None:
    """At most 1.5 times the no-op service's CPU, small bodies, untraced."""
    assert is_met is bench_summary(a_result(service_ms))["aim"]["is_met"]


def test_the_summary_is_plain_json() -> None:
    """Whoever reads the file needs none of our types."""
    summary = bench_summary(a_result())

    assert summary == json.loads(json.dumps(summary))


def test_the_table_shows_all_rows_and_the_verdict() -> None:
    """People see every arm of every case, and whether the aim is met."""
    result = a_result()
    text = io.StringIO()
    show(bench_summary(result), result, Console(file=text, width=110))

    assert 2 == text.getvalue().count("noop")
    assert "missed (2.00, 95 % 2.00-2.00)" in text.getvalue()


@pytest.mark.parametrize("quick", [True, False])
def test_both_extents_cover_sizes_models_and_tracing(quick: bool) -> None:
    """Small and large bodies, rewritten and untouched, traced and not, and one paced load; one aim."""
    chosen = extent(quick=quick)

    assert {2048, 524_288} == {case.body_bytes for case in chosen.cases}
    assert {0.0, 1.0} == {case.sample_ratio for case in chosen.cases}
    assert 2 == len({case.model for case in chosen.cases})
    assert 1 == sum(case.per_second is not None for case in chosen.cases)
    assert 1 == sum(case.has_aim for case in chosen.cases)
    assert len(chosen.cases) == len({case.label for case in chosen.cases})
