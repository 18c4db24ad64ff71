from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import pytest

from extproc.decide.order import Policy
from loadgen.planning.split import ClosedForm
from loadgen.reproduce.dual_pool import study
from loadgen.reproduce.dual_pool.felt import FeltBook, felt_tasks
from loadgen.reproduce.dual_pool.felt_findings import felt_findings
from loadgen.reproduce.dual_pool.load_tasks import Felt, LoadTask, run_load
from loadgen.reproduce.dual_pool.misroutes import OURS, STATIC, MisrouteTask, run_misroutes
from loadgen.reproduce.dual_pool.scale import QUICK
from loadgen.reproduce.dual_pool.sizing_tasks import SizingResult, SizingTask
from loadgen.reproduce.dual_pool.texts import pieces, prompts
from loadgen.reproduce.findings import Verdict
from loadgen.reproduce.study import StudyContext
from loadgen.vllm.tokenizer import count_tokens

FELT = Felt(
    pools=(3, 4),
    ttft_p50=0.05,
    ttft_p99=1.0,
    tpot_p50=0.03,
    tpot_p99=0.06,
    preemptions_per_mille=2.0,
    pool_preemptions_per_mille=(1.0, 1.0),
    overflow_share=0.001,
    rejected_share=0.0,
    short_share=0.9,
)


def _felt(task: LoadTask) -> Felt:
    """A made-up world in which two pools are better at everything."""
    if task.arm == "dual":
        return replace(FELT, ttft_p99=0.8, tpot_p50=0.02, tpot_p99=0.05, preemptions_per_mille=1.0)
    return replace(FELT, pools=(7,), pool_preemptions_per_mille=(2.0,))


def _sized(task: SizingTask) -> SizingResult:
    count = 20 if task.arm.startswith("dual") else 30
    pools = (12, 8) if task.arm.startswith("dual") else (30,)
    closed = ClosedForm(0.9, 4.0, 0.675) if count == 20 else None
    return SizingResult(instances=count, pools=pools, reason="", rejected_share=0.0, closed=closed)


@dataclass(frozen=True)
class _InProcess:
    """Answers for the pool: the real functions would take minutes."""

    answers: dict[str, Callable[[Any], Any]]

    def run_all(self, function: Callable[[Any], Any], tasks: Sequence[Any]) -> list[Any]:
        return [self.answers.get(function.__name__, function)(task) for task in tasks]


def test_report_is_whole_and_its_findings_have_keys_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every table and chart is filled from what the tasks gave, without the data folder and said so."""
    fake = _InProcess({"run_sizing": _sized, "run_load": _felt})
    monkeypatch.setattr(StudyContext, "run_all", lambda _self, function, tasks: fake.run_all(function, tasks))
    monkeypatch.setattr(study, "QUICK", replace(QUICK, misroute_requests=60))
    context = StudyContext(
        seed=1,
        is_quick=True,
        data=None,
        pool=cast("ProcessPoolExecutor", None),
        on_tasks=lambda _: None,
        on_done=lambda: None,
    )
    report = study.DualPoolStudy().run(context)
    keys = [finding.key for finding in report.findings]
    assert len(set(keys)) == len(keys)
    assert not report.is_recorded
    assert all(table.rows for table in report.tables)
    assert all(series.y for chart in report.charts for series in chart.series)
    found = {finding.key: finding for finding in report.findings}
    savings = found["savings_azure"].ours
    assert savings is not None
    assert pytest.approx(100 / 3) == savings.value
    assert Verdict.FAILS is found["savings_azure"].verdict
    assert Verdict.HOLDS is found["savings_lmsys"].verdict


def test_published_latencies_hold_where_two_pools_are_faster() -> None:
    """Verdicts follow what was felt."""
    tasks = list(felt_tasks(None, 1, seeds=1, counted_seconds=1.0, pools={"honest": (7,), "dual": (3, 4)}))
    better = {f.key: f.verdict for f in felt_findings(FeltBook.of(tasks, [_felt(task) for task in tasks]))}
    same = {f.key: f.verdict for f in felt_findings(FeltBook.of(tasks, [FELT] * len(tasks)))}
    assert Verdict.CONDITIONAL is better["ttft_p99_change"]
    assert Verdict.HOLDS is better["tpot_p50_change"]
    assert Verdict.CONDITIONAL is better["preemptions_ratio"]
    assert Verdict.FAILS is same["ttft_p99_change"]
    assert Verdict.FAILS is same["tpot_p50_change"]
    assert Verdict.FAILS is same["preemptions_ratio"]


LOAD = LoadTask(
    trace="lmsys",
    machine="published",
    arm="dual",
    rate=20.0,
    counted_seconds=10.0,
    seed=3,
    data=None,
    pools=(3, 1),
)


@pytest.mark.parametrize("policy", [None, Policy.LEAST_WORK])
def test_load_is_measured_by_the_lean_path_and_by_the_router(policy: Policy | None) -> None:
    """Both serve everything in a fleet that is large enough."""
    felt = run_load(replace(LOAD, router=policy))
    assert (3, 1) == felt.pools
    assert 0.0 == felt.rejected_share
    assert 0.0 < felt.ttft_p50 < felt.ttft_p99
    assert 0.9 < felt.short_share <= 1.0


def test_instances_follow_from_the_utilisation() -> None:
    """Half the utilisation takes about twice the instances."""
    busy, idle = (run_load(replace(LOAD, pools=(), utilisation=share)).pools[0] for share in (0.8, 0.4))
    assert abs(idle - 2 * busy) <= 1


def test_preemptions_need_scarce_memory() -> None:
    """With the published memory nothing is preempted, with a sixteenth of it something is."""
    task = replace(LOAD, trace="azure_tailed", arm="honest", pools=(1,), rate=6.0, counted_seconds=60.0)
    assert 0.0 == run_load(task).preemptions_per_mille
    assert run_load(replace(task, kv_tokens=66_000)).preemptions_per_mille > 0.0


def test_prompts_have_the_wanted_length() -> None:
    """Pieces are put together to the token: short and long prompts alike."""
    found = pieces(None)
    wanted = np.array([5, 150, 1_000, 20_000])
    made = prompts(wanted, found, np.random.default_rng(2))
    assert wanted.tolist() == [prompt.tokens for prompt in made]
    assert made[0].profile.total_bytes < made[1].profile.total_bytes < made[3].profile.total_bytes
    assert all(prompt.profile.total_bytes < 12 * prompt.tokens for prompt in made)


def test_pieces_are_counted_by_the_simulated_tokenizer() -> None:
    """Without recorded texts the counts are those of the simulated server."""
    piece = pieces(None).by_kind["zh"][0]
    assert count_tokens(piece.text) == piece.tokens


def test_calibrated_estimates_misroute_less_to_the_small_pool() -> None:
    """Four bytes per token let some requests overflow; this service's conservative estimate lets none."""
    found = run_misroutes(MisrouteTask(trace="azure", threshold=2_048, requests=500, seed=1, data=None))
    assert found[STATIC].false_short.value > 0.0
    assert 0.0 == found[OURS].false_short.value
    assert found[OURS].ratio_error < found[STATIC].ratio_error
    either = found[STATIC].either
    assert pytest.approx(found[STATIC].false_short.value + found[STATIC].false_long.value) == either.value
    assert either.low <= either.value <= either.high
