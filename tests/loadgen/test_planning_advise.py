from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from extproc.settings import SettingsError
from extproc.settings.load import parse_settings
from loadgen.engine.speed import Speed
from loadgen.planning.advise import BASELINE, ONE_POOL, Advice, Option, PlanRequest, advise, trials
from loadgen.planning.catalog import PRESETS, find_hardware
from loadgen.planning.command import PlanCommand, run_plan
from loadgen.planning.fleet_file import fleet_file
from loadgen.planning.hardware import Hardware
from loadgen.planning.show import as_document, verdict
from loadgen.planning.sizing import Effort
from loadgen.planning.slo import Slo
from loadgen.planning.topology import PlannedPool
from loadgen.planning.traffic import Sizes

HARDWARE = Hardware(
    name="test",
    speed=Speed(
        base_seconds=0.02,
        per_sequence_seconds=0.0002,
        per_context_token_seconds=0.0,
        prefill_tokens_per_second=10_000.0,
    ),
    kv_blocks=8_192,
    gpus=2,
    usd_per_gpu_hour=2.0,
)


def _request(*, long_share: float = 0.05, **changes: Any) -> PlanRequest:
    rng = np.random.default_rng(5)
    prompts = rng.integers(100, 800, 1_000)
    prompts[: int(1_000 * long_share)] = 12_000
    request = PlanRequest(
        sizes=Sizes(prompts, rng.integers(50, 150, 1_000)),
        rate=20.0,
        hardware=HARDWARE,
        slo=Slo(ttft_seconds=3.0, tpot_seconds=0.06),
        context_tokens=16_384,
        baseline_seqs=8,
        max_num_seqs=64,
        batch_tokens=4_096,
        thresholds=(2_048,),
        seeds=1,
        effort=Effort(counted_seconds=15.0, counted_requests=400),
    )
    return replace(request, **changes)


def test_fleet_with_the_fewest_instances_is_recommended_and_checked() -> None:
    """Long prompts that hold up short ones make two pools pay; the recommended fleet is run once more."""
    steps = []
    request = _request()
    advice = advise(request, processes=1, on_done=lambda: steps.append(1))
    assert trials(request) == len(steps)
    assert advice.best is not None
    assert advice.best.instances is not None
    for name, option in advice.options.items():
        assert name == BASELINE or option.instances is None or advice.best.instances <= option.instances
    assert advice.check is not None
    assert 0.0 < advice.check.ttft_p50 < advice.check.ttft_p99
    saved = advice.savings(advice.best.name, BASELINE)
    assert saved is not None
    assert saved > 0.0


def test_one_pool_is_recommended_where_two_do_not_pay() -> None:
    """Traffic without long requests is served best by one pool, and the plan says so."""
    advice = advise(_request(long_share=0.0), processes=1)
    assert advice.best is not None
    assert ONE_POOL == advice.best.name
    assert any("Two pools do not pay" in line for line in verdict(advice))


def test_objective_out_of_reach_is_told_with_its_reason() -> None:
    """No fleet is recommended when a lone sequence is too slow."""
    advice = advise(_request(slo=Slo(tpot_seconds=0.01)), processes=1)
    assert advice.best is None
    assert advice.check is None
    assert "a sequence alone takes 20 ms per token" in verdict(advice)[0]
    assert as_document(advice)["recommended"] is None


def test_prompts_beyond_reach_are_told_not_sized_for() -> None:
    """Where prefilling alone takes longer than the limit, the plan says so and does not ask for more instances."""
    request = _request(slo=Slo(ttft_seconds=1.0, tpot_seconds=0.06))
    advice = advise(request, processes=1)
    told = " ".join(verdict(advice))
    assert pytest.approx(0.05) == request.beyond_reach_share
    assert "5.00 % of the prompts take longer than 1 s on an idle instance" in told
    assert "as it stands the SLO cannot hold" in told
    assert "add instances" not in told


def test_load_beyond_a_slice_is_cut_into_equal_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """A large load takes a multiple of its slice."""
    monkeypatch.setattr("loadgen.planning.advise.SLICE_RATE", 10.0)
    request = _request(rate=25.0, long_share=0.0)
    assert 3 == request.slices
    option = advise(request, processes=1).options[ONE_POOL]
    assert option.instances is not None
    assert 0 == option.instances % 3


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"rate": 0.0}, "rate must be above 0"),
        ({"thresholds": (20_000,)}, "thresholds must lie between 16 and the context"),
        ({"context_tokens": 200_000}, "kv_blocks"),
        ({"sizes": Sizes(np.full(60, 17_000), np.full(60, 10))}, "no request of the trace fits"),
    ],
)
def test_impossible_plans_are_refused(changes: dict[str, Any], told: str) -> None:
    """What cannot be planned is refused before anything is simulated."""
    with pytest.raises(ValueError, match=told):
        _request(**changes)


def _advice(pools: tuple[PlannedPool, ...]) -> Advice:
    request = _request()
    option = Option(
        name="two_pools_2048",
        pools=pools,
        shares=(0.95, 0.05),
        spread=(5, 5),
        reason="",
        rejected_share=0.0,
        closed_savings=0.5,
    )
    one = replace(option, name=ONE_POOL, pools=(replace(pools[-1], instances=8),), closed_savings=None)
    baseline = replace(one, name=BASELINE, pools=(replace(pools[-1], instances=10),))
    options = {BASELINE: baseline, ONE_POOL: one, option.name: option}
    return Advice(request=request, options=options, best=option, check=None)


def _pools() -> tuple[PlannedPool, ...]:
    short, long = _request().fleets()["two_pools_2048"][0]
    return (
        PlannedPool(shape=short, instances=3, threshold_tokens=2_048),
        PlannedPool(shape=long, instances=2, threshold_tokens=None),
    )


def test_fleet_file_is_what_was_planned() -> None:
    """The service's parser reads pools, sizes, limits and speed back as they were planned."""
    advice = _advice(_pools())
    assert advice.best is not None
    settings = parse_settings(
        fleet_file(advice, advice.best, model="org/my model: 7b"[:6]), Path("fleet.yaml")
    )
    fleet = settings.fleet()
    assert [3, 2] == [len(cluster.instances) for cluster in fleet.clusters]
    assert [2_048, 16_384] == [cluster.max_model_len for cluster in fleet.clusters]
    assert [2_048, None] == [pool.threshold_tokens for pool in fleet.pools]
    assert pytest.approx(0.0002) == fleet.clusters[0].speed.iteration_per_sequence_seconds
    hourly = 5 * 2 * 2.0
    per_hour = 20.0 * advice.request.sizes.total_tokens.mean() * 3600 / 1e6
    assert pytest.approx(hourly / per_hour, rel=1e-3) == fleet.clusters[0].price.input_usd_per_mtok


def test_model_name_that_no_fleet_file_can_have_is_refused() -> None:
    """A name with a space is told by the parser, not written."""
    advice = _advice(_pools())
    assert advice.best is not None
    with pytest.raises(SettingsError, match="model"):
        fleet_file(advice, advice.best, model="my model")


def test_savings_are_told_in_gpus_and_dollars() -> None:
    """Three instances of two GPUs at two dollars an hour are 105,120 dollars a year."""
    told = " ".join(verdict(_advice(_pools())))
    assert "6 GPUs, 105,120 USD a year against one pool, 64 sequences" in told
    assert "10 GPUs, 175,200 USD a year against one pool, 8 sequences" in told


def test_plan_writes_figures_fleet_and_picture(tmp_path: Path) -> None:
    """The folder holds valid JSON, a valid fleet file and a PNG."""
    pytest.importorskip("matplotlib")
    command = PlanCommand(
        request=_request(), trace=Path("my.csv"), model="m", processes=1, out=tmp_path / "deep" / "plan"
    )
    console = Console(record=True, width=120)
    assert run_plan(command, console)
    document = json.loads((command.out / "plan.json").read_text())
    assert document["recommended"] in document["options"]
    assert document["options"][document["recommended"]]["gpus"] > 0
    parse_settings((command.out / "fleet.yaml").read_text(), Path("fleet.yaml"))
    assert (command.out / "plan.png").read_bytes().startswith(b"\x89PNG")
    assert "Recommended:" in console.export_text()


@pytest.mark.parametrize("name", PRESETS)
def test_presets_hold_a_long_sequence(name: str) -> None:
    """Each preset has KV memory for a context of 16K at least."""
    assert find_hardware(name).kv_tokens >= 16_384


def test_hardware_is_read_from_a_file(tmp_path: Path) -> None:
    """An operator's own figures are taken over."""
    path = tmp_path / "hardware.yaml"
    path.write_text(
        "name: mine\niteration_base_seconds: 0.01\niteration_per_sequence_seconds: 0.0001\n"
        "prefill_tokens_per_second: 9000\nkv_blocks: 5000\ngpus: 2\nusd_per_gpu_hour: 1.5\n"
    )
    found = find_hardware(str(path))
    assert ("mine", 5000, 2, 1.5) == (found.name, found.kv_blocks, found.gpus, found.usd_per_gpu_hour)
    assert 9000.0 == found.speed.prefill_tokens_per_second


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("gpus: 2", "kv_blocks: field required"),
        ("kv_blocks: many", "kv_blocks: input should be a valid integer"),
        ("speed: 3", "speed: extra inputs are not permitted"),
        ("- 1", "expected the fields name, iteration_base_seconds"),
        ("{", "cannot be read"),
    ],
)
def test_wrong_hardware_files_are_told(tmp_path: Path, text: str, told: str) -> None:
    """The message names the field and the file."""
    path = tmp_path / "hardware.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"hardware\.yaml") as caught:
        find_hardware(str(path))
    assert told in str(caught.value)


def test_unknown_hardware_is_told_with_the_presets() -> None:
    """A wrong name lists what there is."""
    with pytest.raises(ValueError, match=r"presets: .*Llama-3\.1-70B, H100, fp8, tp 4"):
        find_hardware("H1000")
