from __future__ import annotations

import numpy as np
import pytest

from loadgen.engine.speed import Speed
from loadgen.planning.closed_form import idle_ttft_seconds, published_savings, saturation
from loadgen.planning.hardware import Hardware, PoolShape
from loadgen.planning.pool_run import Balance, Limits, run_pool
from loadgen.planning.sizing import Effort, _fewest, holds_slo, size_pool
from loadgen.planning.slo import Slo
from loadgen.planning.split import Question, assign, closed_form, size_fleet
from loadgen.planning.traffic import Sizes, Traffic, drawn

HARDWARE = Hardware(
    name="test",
    speed=Speed(
        base_seconds=0.02,
        per_sequence_seconds=0.0002,
        per_context_token_seconds=0.0,
        prefill_tokens_per_second=20_000.0,
    ),
    kv_blocks=16_384,
    gpus=2,
    usd_per_gpu_hour=2.0,
)
FEW = PoolShape(name="all", max_model_len=65_536, max_num_seqs=8, max_num_batched_tokens=8_192)
MANY = PoolShape(name="all", max_model_len=65_536, max_num_seqs=64, max_num_batched_tokens=8_192)
SHORT = PoolShape(name="short", max_model_len=4_096, max_num_seqs=64, max_num_batched_tokens=8_192)
EFFORT = Effort(counted_seconds=20.0, counted_requests=800)


def _sizes(*, long_share: float = 0.0) -> Sizes:
    rng = np.random.default_rng(5)
    prompts = rng.integers(200, 1_000, 1_000)
    prompts[: int(1_000 * long_share)] = 20_000
    return Sizes(prompts, rng.integers(50, 150, 1_000))


def test_saturated_instance_does_what_the_closed_form_says() -> None:
    """An instance kept full finishes requests at the rate of the formula, within 5 %."""
    sizes = _sizes()
    expected = saturation(FEW, HARDWARE, sizes, Slo())
    traffic = drawn(sizes, 800, 3 * expected.requests_per_second, np.random.default_rng(1))
    run = run_pool(FEW.engine(HARDWARE), 1, traffic)
    measured = 700 / (np.sort(run.finished_seconds)[750] - np.sort(run.finished_seconds)[50])
    assert "slots" == expected.binding
    assert pytest.approx(expected.requests_per_second, rel=0.05) == measured


def test_time_per_token_limits_the_sequences_of_the_closed_form() -> None:
    """A tight TPOT binds before the slots do."""
    found = saturation(MANY, HARDWARE, _sizes(), Slo(tpot_seconds=0.03))
    assert "tpot" == found.binding
    assert found.sequences < MANY.max_num_seqs


def test_shortest_queue_waits_less_than_turns() -> None:
    """Near saturation, requests wait less for the instance with the fewest than for the next in turn."""
    sizes = _sizes()
    rate = 0.85 * 6 * saturation(FEW, HARDWARE, sizes, Slo()).requests_per_second
    traffic = drawn(sizes, 1_500, rate, np.random.default_rng(2))
    p99 = {
        balance: float(
            np.quantile(run_pool(FEW.engine(HARDWARE), 6, traffic, balance=balance).ttft_seconds, 0.99)
        )
        for balance in Balance
    }
    assert p99[Balance.SHORTEST_QUEUE] < p99[Balance.ROUND_ROBIN]


def test_run_is_given_up_when_too_many_are_late() -> None:
    """An overloaded pool need not be simulated to its end."""
    sizes = _sizes()
    traffic = drawn(sizes, 2_000, 50.0, np.random.default_rng(3))
    limits = Limits(ttft_seconds=np.full(2_000, 0.5), tpot_seconds=1.0, misses=10)
    run = run_pool(FEW.engine(HARDWARE), 1, traffic, limits=limits)
    assert not run.is_complete
    assert np.isnan(run.ttft_seconds).any()


def test_fewest_instances_keep_the_slo_and_one_less_does_not() -> None:
    """What was found keeps the limits on its own traffic, and the next smaller pool misses them."""
    slo = Slo(ttft_seconds=0.5)
    sized = size_pool(FEW, HARDWARE, _sizes(), 20.0, slo=slo, effort=EFFORT, rng=np.random.default_rng(4))
    assert sized.instances is not None
    assert sized.run is not None
    assert sized.traffic is not None
    counted = slice(sized.run.counted, None)
    assert holds_slo(sized.run.ttft_seconds[counted], sized.run.tpot_seconds[counted], slo)
    smaller = run_pool(FEW.engine(HARDWARE), sized.instances - 1, sized.traffic)
    assert not holds_slo(smaller.ttft_seconds[counted], smaller.tpot_seconds[counted], slo)


def test_unreachable_time_per_token_is_said_not_searched() -> None:
    """When a lone sequence is too slow, no fleet is simulated and the reason is told."""
    runs = []
    sized = size_pool(
        FEW,
        HARDWARE,
        _sizes(),
        5.0,
        slo=Slo(tpot_seconds=0.01),
        effort=EFFORT,
        rng=np.random.default_rng(4),
        on_run=lambda: runs.append(1),
    )
    assert sized.instances is None
    assert "a sequence alone takes 20 ms per token, 10 are allowed" == sized.reason
    assert [] == runs


@pytest.mark.parametrize("needed", [1, 7, 36, 100])
@pytest.mark.parametrize("guess", [1, 36, 90])
def test_search_finds_the_border_from_any_guess(needed: int, guess: int) -> None:
    """The search ends at the smallest size that keeps, wherever it starts."""
    assert needed == _fewest(lambda count: count >= needed, guess, 0.0)


def test_search_ends_when_nothing_keeps() -> None:
    """A limit that no size keeps ends the search."""
    assert _fewest(lambda _: False, 3, 0.0) is None


def test_budgets_go_to_the_first_pool_that_holds_them() -> None:
    """Threshold and context both count, and what no pool holds is marked."""
    pools = assign(np.array([100, 3_000, 5_000, 65_536, 65_537]), (3_000,), (SHORT, FEW))
    assert [0, 0, 1, 1, -1] == pools.tolist()


def test_two_pools_save_instances_when_slots_are_scarce() -> None:
    """With 8 slots of 64K, moving short requests to 64 slots of 4K takes fewer instances."""
    question = Question(
        hardware=HARDWARE, sizes=_sizes(long_share=0.02), rate=20.0, slo=Slo(), effort=EFFORT, seed=1
    )
    one = size_fleet(question, (FEW,))
    two = size_fleet(question, (SHORT, FEW), (4_096,))
    assert one.instances is not None
    assert two.instances is not None
    assert two.instances < one.instances
    assert pytest.approx(0.98) == two.pools[0].share
    assert 0.0 == two.rejected_share


def test_pool_that_gets_nothing_needs_nothing() -> None:
    """A threshold above every request leaves the long pool empty."""
    question = Question(hardware=HARDWARE, sizes=_sizes(), rate=5.0, slo=Slo(), effort=EFFORT, seed=1)
    need = size_fleet(question, (SHORT, FEW), (4_096,))
    assert 0 == need.pools[1].sized.instances


def test_formula_of_the_paper() -> None:
    """80 % short at four times the throughput save 60 %, as published."""
    assert pytest.approx(0.6) == published_savings(0.8, 4.0)


def test_closed_form_of_a_fleet_without_short_requests_is_nothing() -> None:
    """Without short requests there is nothing to save."""
    sizes = Sizes(np.full(10, 20_000), np.full(10, 100))
    question = Question(hardware=HARDWARE, sizes=sizes, rate=5.0, slo=Slo(), effort=EFFORT, seed=1)
    assert 0.0 == closed_form(question, SHORT, FEW, 4_096).savings


def test_idle_time_to_first_token_is_that_of_an_idle_engine() -> None:
    """The bound is what the engine does with a lone request, chunks included."""
    prompt = np.array([20_000.0])
    traffic = Traffic(np.array([0.0]), Sizes(np.array([20_000]), np.array([5])))
    run = run_pool(FEW.engine(HARDWARE), 1, traffic)
    assert pytest.approx(run.ttft_seconds[0]) == idle_ttft_seconds(FEW, HARDWARE, prompt)[0]


def test_context_that_the_memory_cannot_hold_is_refused() -> None:
    """A pool configured for more context than there are KV blocks is a mistake, and says so."""
    with pytest.raises(ValueError, match="kv_blocks"):
        PoolShape(name="all", max_model_len=300_000, max_num_seqs=8, max_num_batched_tokens=8_192).engine(
            HARDWARE
        )
