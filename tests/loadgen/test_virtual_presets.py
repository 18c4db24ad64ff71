from __future__ import annotations

import pytest

from extproc.decide.order import Policy
from extproc.decide.weights import Preset
from loadgen.questions.generated import generate_questions
from loadgen.virtual.arms import Workbench
from loadgen.virtual.presets import document, run_preset
from loadgen.virtual.scenario import Scenario


@pytest.fixture(scope="module")
def bench() -> Workbench:
    """Generated questions, so that nothing depends on the data folder."""
    return Workbench(generate_questions("zeroeval", seed=1, count=400))


@pytest.mark.parametrize("policy", [Policy.FIRST_CORRECT, Policy.ROUTE_BALANCE])
def test_presets_do_what_they_are_called_after(bench: Workbench, policy: Policy) -> None:
    """Quality is right most often, latency is quickest, and cost is far cheaper per correct answer than quality."""
    scenario = Scenario(rate=10.0, requests=1000, seed=1)
    presets = (Preset.QUALITY, Preset.LATENCY, Preset.COST)
    found = document([run_preset(bench, scenario, policy, preset) for preset in presets])
    quality, latency, cost = found

    assert quality["success"]["value"] == max(row["success"]["value"] for row in found)
    assert latency["mean_seconds_all"]["value"] == min(row["mean_seconds_all"]["value"] for row in found)
    assert cost["usd_per_correct"]["value"] < 0.7 * quality["usd_per_correct"]["value"]
