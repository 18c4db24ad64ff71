from __future__ import annotations

import numpy as np
import pytest

from extproc.decide.order import Policy
from loadgen.engine.speed import Speed
from loadgen.planning.fleet_run import Turns, run_fleet
from loadgen.planning.hardware import Hardware, PoolShape
from loadgen.planning.lean import Budgets, LeanChooser
from loadgen.planning.topology import PlannedPool, addresses, topology
from loadgen.planning.traffic import Sizes, Traffic, drawn
from loadgen.reproduce.dual_pool.router_run import RouterChooser
from loadgen.reproduce.dual_pool.texts import pieces, prompts

HARDWARE = Hardware(
    name="test",
    speed=Speed(
        base_seconds=0.02,
        per_sequence_seconds=0.0005,
        per_context_token_seconds=0.0,
        prefill_tokens_per_second=20_000.0,
    ),
    kv_blocks=8_192,
    gpus=1,
    usd_per_gpu_hour=1.0,
)
POOLS = (
    PlannedPool(
        shape=PoolShape(name="short", max_model_len=2_048, max_num_seqs=32, max_num_batched_tokens=4_096),
        instances=3,
        threshold_tokens=2_048,
    ),
    PlannedPool(
        shape=PoolShape(name="long", max_model_len=16_384, max_num_seqs=8, max_num_batched_tokens=4_096),
        instances=3,
        threshold_tokens=None,
    ),
)


def _traffic(count: int, rate: float) -> Traffic:
    rng = np.random.default_rng(7)
    prompt = np.where(rng.random(500) < 0.9, rng.integers(100, 1_200, 500), rng.integers(3_000, 9_000, 500))
    return drawn(Sizes(prompt, rng.integers(20, 200, 500)), count, rate, rng)


def test_requests_go_to_the_pool_that_holds_them() -> None:
    """At low load every request is served, by the pool that its budget belongs to."""
    traffic = _traffic(300, 2.0)
    run = run_fleet(
        HARDWARE, POOLS, traffic, LeanChooser(topology(HARDWARE, POOLS), Budgets.true(traffic.sizes))
    )
    assert (traffic.sizes.total_tokens > 2_048).astype(int).tolist() == run.pool.tolist()
    assert 0 == run.overflows.sum()


def test_overloaded_short_pool_spills_over() -> None:
    """A pool under pressure hands requests to the long one, never the other way beyond its context."""
    traffic = _traffic(1_500, 45.0)
    run = run_fleet(
        HARDWARE, POOLS, traffic, LeanChooser(topology(HARDWARE, POOLS), Budgets.true(traffic.sizes))
    )
    is_short = traffic.sizes.total_tokens <= 2_048
    assert (run.pool[is_short] == 1).any()
    assert set(run.pool[~is_short].tolist()) == {1}


def test_underestimated_request_overflows_to_the_next_pool() -> None:
    """A request that its first instance cannot hold is served by the long pool, and counted."""
    sizes = Sizes(np.array([3_000]), np.array([100]))
    budgets = Budgets(np.array([500]), np.array([600]), np.array([100]))
    chooser = LeanChooser(topology(HARDWARE, POOLS), budgets)
    run = run_fleet(HARDWARE, POOLS, Traffic(np.array([0.0]), sizes), chooser)
    assert [1] == run.pool.tolist()
    assert [1] == run.overflows.tolist()


def test_request_that_no_pool_holds_is_refused() -> None:
    """Nobody serves what is longer than every context."""
    sizes = Sizes(np.array([20_000, 100]), np.array([100, 10]))
    traffic = Traffic(np.array([0.0, 1.0]), sizes)
    run = run_fleet(HARDWARE, POOLS, traffic, LeanChooser(topology(HARDWARE, POOLS), Budgets.true(sizes)))
    assert [-1, 0] == run.pool.tolist()
    assert np.isnan(run.ttft_seconds[0])


def test_turns_are_taken_whatever_the_load() -> None:
    """Round-robin serves as many requests on each instance."""
    pool = POOLS[1:]
    traffic = _traffic(30, 5.0)
    run = run_fleet(HARDWARE, pool, traffic, Turns(addresses(0, 3)))
    assert {0} == set(run.pool.tolist())


@pytest.mark.parametrize(("rate", "alike"), [(8.0, 0.98), (25.0, 0.75)])
def test_lean_path_agrees_with_the_production_router(rate: float, alike: float) -> None:
    """With the policy shortest_queue the router, reading texts, does nearly what the lean path does with true counts.

    Near the point of spilling over, who spills is chance, but how many do is not.
    """
    traffic = _traffic(1_200, rate)
    fleet = topology(HARDWARE, POOLS)
    lean = run_fleet(HARDWARE, POOLS, traffic, LeanChooser(fleet, Budgets.true(traffic.sizes)))
    found = pieces(None)
    router = RouterChooser(
        fleet,
        prompts(traffic.sizes.prompt_tokens, found, np.random.default_rng(1)),
        traffic.sizes,
        found,
        policy=Policy.SHORTEST_QUEUE,
        limits_outputs=True,
        rng=np.random.default_rng(1),
    )
    routed = run_fleet(HARDWARE, POOLS, traffic, router, is_scraped=True)
    assert alike < (lean.pool == routed.pool).mean()
    assert pytest.approx((lean.pool == 0).mean(), abs=0.05) == (routed.pool == 0).mean()
    assert pytest.approx(np.nanquantile(lean.ttft_seconds, 0.5), rel=0.1) == np.nanquantile(
        routed.ttft_seconds, 0.5
    )
    assert pytest.approx(np.nanmean(lean.tpot_seconds), rel=0.05) == np.nanmean(routed.tpot_seconds)
    assert not (routed.pool < 0).any()
