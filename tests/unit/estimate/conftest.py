"""An idle fleet, and a latency estimate of it."""

from __future__ import annotations

from typing import Any

import pytest

from extproc.estimate.latency import LatencyEstimator
from extproc.fleet.load import LoadBook
from extproc.fleet.snapshot import FleetSnapshot
from extproc.fleet.topology import Fleet


@pytest.fixture
def snapshot(make_fleet: Any) -> FleetSnapshot:
    """Four idle instances in two clusters: W = 10 ms, H = 1 ms, 1000 prompt tokens per second, 4 slots."""
    fleet: Fleet = make_fleet()
    return LoadBook(fleet).snapshot(0.0)


@pytest.fixture
def estimator(snapshot: FleetSnapshot) -> LatencyEstimator:
    """Nothing learned yet."""
    return LatencyEstimator(snapshot.table)
