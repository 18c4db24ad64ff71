from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from loadgen.bench.arms import ArmName
from loadgen.bench.cases import Case, Extent
from loadgen.bench.run import run_bench


@pytest.mark.e2e
async def test_measures_three_arms_on_real_envoy(tmp_path: Path) -> None:
    """Each arm answers every request; deciding takes more CPU than doing nothing, and nothing is left running."""
    cases = (
        Case(body_bytes=2048, model="auto", sample_ratio=1.0, requests_per_round=40),
        Case(body_bytes=65_536, model="qwen2.5-32b", sample_ratio=0.0, requests_per_round=8, per_second=80.0),
    )
    chosen = Extent(rounds=2, cases=cases, warm_up_rounds=1, background_seconds=0.3)
    result = await run_bench(chosen, tmp_path, seed=1, console=Console(file=io.StringIO()))

    assert {(case, arm) for case in cases for arm in ArmName} == set(result.samples)
    for (case, _), samples in result.samples.items():
        assert [case.requests_per_round] * 2 == [sample.requests for sample in samples]
    small = cases[0]
    spent = {arm: sum(s.service_cpu_seconds for s in result.samples[small, arm]) for arm in ArmName}
    assert spent[ArmName.SERVICE] > spent[ArmName.NOOP] > 0
