from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from extproc.estimate.latency_cluster import ClusterLatency
from extproc.estimate.latency_filter import Part
from extproc.estimate.latency_parts import columns_of, prior_seconds, units_of_decoding, units_to_first
from extproc.estimate.latency_records import LoadAtDecision
from extproc.fleet.topology import Cluster

LOAD = LoadAtDecision(
    sequences=2.0,
    own_sequences=1,
    sequence_seconds=0.0,
    backlog_tokens=50.0,
    waiting_seconds=0.5,
    preemption_share=0.0,
    ttft_seconds=1.0,
    ttft_alone_seconds=0.5,
    iteration_seconds=0.02,
    iteration_alone_seconds=0.01,
)


@pytest.fixture
def cluster(make_cluster: Callable[..., Cluster]) -> Cluster:
    """W = 10 ms, H = 1 ms, 1000 prompt tokens per second, 4 slots."""
    return make_cluster()


def test_what_is_learned_from_is_what_is_predicted(cluster: Cluster) -> None:
    """Units times prices give the same seconds as the columns of a row: else learning would be biased."""
    learned = ClusterLatency(prior_seconds(cluster.speed))
    (alone, prefill, backlog, waiting, first_beside), (base, own, beside, *_) = columns_of(learned)

    first = float(units_to_first(LOAD, cluster, learned, 100) @ learned.law.seconds)
    every = float(units_of_decoding(LOAD, LOAD.sequences, cluster, learned) @ learned.law.seconds)

    assert first == pytest.approx(alone + 100 * prefill + 50 * backlog + 0.5 * waiting + 2 * first_beside)
    assert every == pytest.approx(base + own + 2 * beside)


def test_no_more_run_beside_than_there_are_slots(cluster: Cluster) -> None:
    """Who waits is not in the batch."""
    learned = ClusterLatency(prior_seconds(cluster.speed))
    full, overfull = (
        units_of_decoding(LOAD, sequences, cluster, learned)[Part.ITERATION_PER_SEQUENCE]
        for sequences in (3.0, 30.0)
    )

    assert 4.0 == full == overfull


def test_a_speed_without_a_slope_can_be_learned(cluster: Cluster) -> None:
    """A declared H of zero becomes a thousandth of W: nothing could be a multiple of zero."""
    prior = prior_seconds(replace(cluster.speed, iteration_per_sequence_seconds=0.0))

    assert prior[Part.ITERATION_PER_SEQUENCE] == pytest.approx(1e-5)
    assert (prior > 0.0).all()
    assert np.isfinite(prior).all()
