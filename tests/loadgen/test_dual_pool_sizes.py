from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from loadgen.planning.closed_form import saturation
from loadgen.planning.sizing import Effort
from loadgen.planning.slo import Slo
from loadgen.planning.split import ClosedForm
from loadgen.reproduce.dual_pool import STUDY
from loadgen.reproduce.dual_pool.arms import ARMS, arm_of, short_shape
from loadgen.reproduce.dual_pool.machines import HOMOGENEOUS, PUBLISHED, SHORT, kv_blocks
from loadgen.reproduce.dual_pool.scale import FULL, QUICK, small_tasks
from loadgen.reproduce.dual_pool.size_findings import (
    closed_form_finding,
    savings_findings,
    third_pool_finding,
)
from loadgen.reproduce.dual_pool.sizes import Sizes, over_seeds
from loadgen.reproduce.dual_pool.sizing_tasks import SizingResult, SizingTask, run_sizing
from loadgen.reproduce.dual_pool.traces import LMSYS_MEAN_OUTPUT, TRACES, azure, azure_tailed, lmsys
from loadgen.reproduce.findings import Verdict


def test_study_is_found_by_its_key() -> None:
    """The report finds the study under the name of its folder."""
    assert "dual_pool" == STUDY.key


@pytest.mark.parametrize(("shape", "rate"), [(HOMOGENEOUS, 2.8), (SHORT, 11.2)])
def test_published_machine_does_the_published_rates(shape: object, rate: float) -> None:
    """W and H are solved so that an instance does what the paper's table says, on Azure's mean lengths."""
    assert shape in (HOMOGENEOUS, SHORT)
    pool = HOMOGENEOUS if shape is HOMOGENEOUS else SHORT
    found = saturation(pool, PUBLISHED, azure(None, 1), Slo())
    assert pytest.approx(rate, rel=0.05) == found.requests_per_second


def test_published_memory_is_exactly_what_both_shapes_need() -> None:
    """16 sequences of 64K and 128 of 8K take the same KV memory, all of it."""
    assert PUBLISHED.kv_tokens == HOMOGENEOUS.max_num_seqs * HOMOGENEOUS.max_model_len
    assert PUBLISHED.kv_tokens == SHORT.max_num_seqs * SHORT.max_model_len


def test_two_gpus_cannot_hold_the_weights_and_one_long_sequence() -> None:
    """Beside BF16 weights, two 80 GB GPUs lack the blocks of a single sequence of 64K, even when filled whole."""
    assert kv_blocks(2, 2, memory_share=1.0) * 16 < 65_536


def test_tailed_trace_has_the_published_quantiles() -> None:
    """80 % within 2K, 92 % within 8K, up to 64K; outputs are those of the trace."""
    tailed = azure_tailed(None, 1)
    totals = tailed.total_tokens
    assert pytest.approx(0.80, abs=0.001) == float((totals <= 2_048).mean())
    assert pytest.approx(0.92, abs=0.001) == float((totals <= 8_192).mean())
    assert 60_000 < totals.max() <= 65_536
    assert pytest.approx(azure(None, 1).output_tokens.mean(), rel=0.2) == tailed.output_tokens.mean()


def test_lmsys_lengths_have_the_published_shape() -> None:
    """Totals follow the authors' table, and the mean output is the published one."""
    found = lmsys(None, 1)
    totals = found.total_tokens
    assert pytest.approx(0.638, abs=0.005) == float((totals <= 512).mean())
    assert pytest.approx(0.9965, abs=0.001) == float((totals <= 8_192).mean())
    assert pytest.approx(LMSYS_MEAN_OUTPUT, rel=0.02) == found.output_tokens.mean()
    assert 1 == found.prompt_tokens.min()


@pytest.mark.parametrize(("threshold", "slots"), [(4_096, 256), (8_192, 128), (16_384, 64)])
def test_slots_shrink_as_the_context_grows(threshold: int, slots: int) -> None:
    """The short pool's memory stays the same."""
    assert slots == short_shape(threshold).max_num_seqs


def test_arms_are_found_by_key() -> None:
    """Named arms and thresholds are understood, others refused."""
    assert ARMS["honest"] is arm_of("honest")
    assert (4_096,) == arm_of("dual_4096").thresholds
    with pytest.raises(KeyError):
        arm_of("dual_many")


def test_few_seeds_give_an_interval_by_students_t() -> None:
    """Three values have the textbook interval, one has none."""
    found = over_seeds([1.0, 2.0, 3.0])
    assert 2.0 == found.value
    assert pytest.approx(2.0 - 4.303 / np.sqrt(3)) == found.low
    assert 5.0 == over_seeds([5.0]).low == over_seeds([5.0]).high


def _task(arm: str, seed: int) -> SizingTask:
    return SizingTask(
        trace="lmsys", machine="published", arm=arm, rate=100.0, seed=seed, effort=Effort(), data=None
    )


def _result(instances: int | None, closed: ClosedForm | None = None) -> SizingResult:
    return SizingResult(
        instances=instances, pools=(instances or 0,), reason="", rejected_share=0.0, closed=closed
    )


def test_savings_are_taken_seed_by_seed() -> None:
    """Each seed's fleets are compared with each other."""
    tasks = [_task("homogeneous", 1), _task("homogeneous", 2), _task("dual", 1), _task("dual", 2)]
    sizes = Sizes.of(tasks, [_result(10), _result(20), _result(5), _result(10)])
    saved = sizes.savings(("lmsys", "published", "dual", 100.0), "homogeneous")
    assert saved is not None
    assert (50.0, 50.0, 50.0) == (saved.value, saved.low, saved.high)


def test_fleet_that_cannot_be_sized_has_no_figure() -> None:
    """One seed without an answer leaves the cell without one."""
    sizes = Sizes.of([_task("dual", 1), _task("dual", 2)], [_result(None), _result(5)])
    assert sizes.instances(("lmsys", "published", "dual", 100.0)) is None


def test_findings_follow_the_figures() -> None:
    """Less than published fails, near it holds, more holds with conditions; nothing run is not reproduced."""

    def verdict(dual: int) -> Verdict:
        tasks = [_task("homogeneous", 1), _task("honest", 1), _task("dual", 1)]
        sizes = Sizes.of(tasks, [_result(100), _result(25), _result(dual)])
        return {finding.key: finding.verdict for finding in savings_findings(sizes)}["savings_lmsys"]

    assert Verdict.FAILS is verdict(90)
    assert Verdict.HOLDS is verdict(68)
    assert Verdict.CONDITIONAL is verdict(30)
    assert {Verdict.NOT_REPRODUCED} == {finding.verdict for finding in savings_findings(Sizes({}))}


def test_closed_form_below_the_simulation_is_no_upper_bound() -> None:
    """A formula that says less than was saved fails the claim."""
    tasks = [_task("homogeneous", 1), _task("dual", 1)]
    below = Sizes.of(tasks, [_result(100), _result(30, ClosedForm(0.5, 2.0, 0.25))])
    above = Sizes.of(tasks, [_result(100), _result(30, ClosedForm(1.0, 4.0, 0.75))])
    assert Verdict.FAILS is closed_form_finding(below).verdict
    assert Verdict.CONDITIONAL is closed_form_finding(above).verdict


def test_third_pool_is_judged_against_two() -> None:
    """A saving near the published one holds; without the arm there is nothing to say."""

    def cell(arm: str) -> SizingTask:
        return replace(_task(arm, 1), trace="azure_tailed")

    tasks = [cell("dual"), cell("triple")]
    assert Verdict.HOLDS is third_pool_finding(Sizes.of(tasks, [_result(100), _result(98)])).verdict
    assert Verdict.CONDITIONAL is third_pool_finding(Sizes.of(tasks, [_result(100), _result(80)])).verdict
    assert Verdict.NOT_REPRODUCED is third_pool_finding(Sizes.of(tasks[:1], [_result(100)])).verdict


def test_task_sizes_a_fleet_in_slices() -> None:
    """A sliced load takes as many times the instances of its slice."""
    effort = Effort(counted_seconds=10.0, counted_requests=300)
    task = SizingTask(
        trace="lmsys",
        machine="published",
        arm="dual",
        rate=20.0,
        slices=3,
        seed=1,
        effort=effort,
        data=None,
    )
    found = run_sizing(task)
    assert found.instances is not None
    assert 0 == found.instances % 3
    assert sum(found.pools) == found.instances
    assert 60.0 == task.cell[3]


def test_quick_study_is_a_part_of_the_full_one() -> None:
    """The quick study runs fewer sizings, of the same kinds."""
    quick, full = (list(small_tasks(scale, None, 1)) for scale in (QUICK, FULL))
    assert len(quick) < len(full) / 2
    assert {task.cell for task in quick} <= {task.cell for task in full}
    assert set(TRACES) == {task.trace for task in quick}
