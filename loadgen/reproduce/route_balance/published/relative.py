"""Latencies over RouteBalance's own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from loadgen.reproduce.route_balance.arms import Arm
from loadgen.reproduce.route_balance.cells import Load
from loadgen.reproduce.route_balance.families import FULL
from loadgen.reproduce.route_balance.measured import Floats, Measured


def latency_ratio(found: Measured, arm: Arm, load: Load) -> Floats:
    """Mean latency over RouteBalance's with uniform weights: first as measured, then by resample."""
    result: Floats = found.seconds(arm, load) / found.seconds(FULL, load)
    return result


def mean_latency_ratio(found: Measured, arm: Arm, loads: Sequence[Load]) -> Floats:
    """Mean over loads of the ratio, the same."""
    result: Floats = np.mean([latency_ratio(found, arm, load) for load in loads], axis=0)
    return result
