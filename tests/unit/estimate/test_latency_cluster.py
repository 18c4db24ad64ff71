from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from extproc.estimate.latency_cluster import ClusterLatency, InstanceLatency, Lesson
from extproc.estimate.latency_filter import Part
from extproc.estimate.latency_records import LoadAtDecision

PRIOR = np.array([0.01, 1e-3, 1e-3, 1e-5, 1.0, 0.01, 0.001, 1e-3])
LOAD = LoadAtDecision(
    sequences=0.0,
    own_sequences=1,
    sequence_seconds=0.0,
    backlog_tokens=0.0,
    waiting_seconds=0.0,
    preemption_share=0.0,
    ttft_seconds=0.1,
    ttft_alone_seconds=0.1,
    iteration_seconds=0.01,
    iteration_alone_seconds=0.01,
)
LESSON = Lesson(
    load=LOAD,
    to_first=np.array([1.0, 100.0, 0.0, 0.0, 0.0, 1.5, 1.5, 0.0]),
    decoding=np.array([0.0, 0.0, 0.0, 0.0, 0.0, 100.0, 100.0, 0.0]),
    decoding_meanwhile=None,
    iterations=100,
    ttft_seconds=0.1,
    e2e_seconds=2.1,
)


def test_the_spread_is_that_of_the_decision() -> None:
    """How far a prediction was off is judged by what was said then, not by what has been learned since."""
    cluster = ClusterLatency(PRIOR)
    for _ in range(2000):
        cluster.teach(InstanceLatency("c"), LESSON, siblings=1)

    # 0.1 s and 100 iterations of 10 ms were predicted, 2.1 s were measured.
    assert cluster.total_spreads[0].quantile(0.5) == pytest.approx(np.log(2.1 / 1.1), abs=0.05)
    assert cluster.ttft_spreads[0].quantile(0.5) == pytest.approx(0.0, abs=0.05)


def test_without_the_load_at_the_end_nothing_is_said_of_causes() -> None:
    """The law that prices delays stays at its prior, however much the other one learns."""
    cluster = ClusterLatency(PRIOR)
    for _ in range(50):
        cluster.teach(InstanceLatency("c"), LESSON, siblings=1)

    assert PRIOR.tolist() == pytest.approx(cluster.causal_law.seconds.tolist())
    assert cluster.law.seconds[Part.ITERATION_BASE] > 1.5 * PRIOR[Part.ITERATION_BASE]


def test_a_busy_instance_has_a_spread_of_its_own() -> None:
    """What is learned under load does not widen the intervals of an idle instance."""
    cluster = ClusterLatency(PRIOR)
    before = cluster.ttft_spreads[0].quantile(0.95)
    busy = replace(LESSON, load=replace(LOAD, ttft_seconds=1.0), ttft_seconds=2.0, e2e_seconds=4.0)
    for _ in range(100):
        cluster.teach(InstanceLatency("c"), busy, siblings=1)

    assert before == cluster.ttft_spreads[0].quantile(0.95)
    assert cluster.ttft_spreads[2].quantile(0.5) == pytest.approx(np.log(2.0), abs=0.1)


def test_mean_lengths_follow_what_is_seen() -> None:
    """The first requests count most, and no single one much later."""
    cluster = ClusterLatency(PRIOR)
    for _ in range(300):
        cluster.teach(InstanceLatency("c"), LESSON, siblings=1)
        cluster.learn_lengths(1000, 50)
    cluster.learn_lengths(1_000_000, 50)

    assert cluster.output_tokens == pytest.approx(50.0, rel=0.2)
    assert 900.0 < cluster.prompt_tokens < 10_000.0
