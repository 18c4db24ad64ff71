from __future__ import annotations

import random

import pytest

from loadgen.calibration.drive import AMPLE_KV_BLOCKS, closed_loop, replay, static_batch
from loadgen.calibration.measured import LoadPoint, MeasuredRequest, MeasuredSecond, RecordedRun
from loadgen.calibration.studies import closed_loop_study, recorded_run_study, static_batch_study
from loadgen.engine.speed import Speed

TRUE = Speed(
    base_seconds=0.012,
    per_sequence_seconds=8e-5,
    per_context_token_seconds=5e-8,
    prefill_tokens_per_second=20_000.0,
)


def arrivals(count: int) -> list[MeasuredRequest]:
    """Requests of mixed lengths, ten per second."""
    draw = random.Random(4)
    at = 0.0
    requests = []
    for _ in range(count):
        at += draw.expovariate(10.0)
        requests.append(MeasuredRequest(draw.randint(50, 2000), draw.randint(20, 300), at, 0.0, 0.0))
    return requests


def test_a_run_made_by_a_known_engine_is_explained() -> None:
    """Fitted to a simulated recording, the engine predicts its second half within 3 %."""
    asked = arrivals(80)
    config = TRUE.engine_config(
        max_num_seqs=32, max_num_batched_tokens=2048, max_model_len=16_384, kv_blocks=AMPLE_KV_BLOCKS
    )
    marks = [1.0, 3.0, 5.0, 7.0]
    made = replay(config, asked, engines=1, seconds=marks)
    recorded = tuple(
        MeasuredRequest(
            one.input_tokens,
            one.output_tokens,
            one.arrival,
            one.arrival + times.ttft,
            one.arrival + times.e2e,
        )
        for one, times in zip(asked, made.times, strict=True)
    )
    seconds = tuple(MeasuredSecond(int(at), *load) for at, load in zip(marks, made.load, strict=True))
    result = recorded_run_study(RecordedRun("known", 1, 32, recorded, seconds))
    assert max(result.errors.ttft, result.errors.tpot, result.errors.e2e) < 0.03
    assert result.load_errors is not None
    assert max(result.load_errors) <= 1.5
    assert (40, 40) == (result.fitted_on, result.held_out)


def test_two_engines_share_a_run() -> None:
    """Data-parallel engines halve the queue that one would have."""
    config = TRUE.engine_config(
        max_num_seqs=4, max_num_batched_tokens=2048, max_model_len=16_384, kv_blocks=AMPLE_KV_BLOCKS
    )
    alone, shared = (replay(config, arrivals(60), engines=engines) for engines in (1, 2))
    assert sum(one.ttft for one in shared.times) < 0.6 * sum(one.ttft for one in alone.times)


def test_a_closed_loop_made_by_a_known_engine_is_explained() -> None:
    """Means of a simulated closed loop give back a speed that predicts other loads within 10 %."""
    loads = [(isl, 256, users) for isl in (512, 2048) for users in (2, 4, 8, 16, 32, 64)]
    points = []
    for isl, osl, users in loads:
        empty = LoadPoint(isl, osl, users, 0.0, 0.0)
        times = closed_loop(TRUE, empty, max_num_batched_tokens=8192, seed=9)
        points.append(LoadPoint(isl, osl, users, times.ttft, times.tpot))
    result = closed_loop_study("known", points)
    assert result.errors.tpot < 0.1
    assert result.errors.e2e < 0.1


def test_static_batches_give_the_speed_back() -> None:
    """A batch's times are linear in the four unknowns, so they come back almost exactly."""
    points = []
    for isl, batch in [(128, 1), (512, 1), (2048, 1), (8192, 1), (512, 2), (512, 8), (512, 32), (1024, 16)]:
        times = static_batch(TRUE, LoadPoint(isl, 128, batch, 0.0, 0.0))
        points.append(LoadPoint(isl, 128, batch, times.ttft, times.tpot))
    result = static_batch_study("known", points)
    assert result.speed.base_seconds == pytest.approx(TRUE.base_seconds, rel=0.02)
    assert result.speed.prefill_tokens_per_second == pytest.approx(TRUE.prefill_tokens_per_second, rel=0.05)
    assert result.errors.e2e < 0.02
