"""What tests of the latency estimate share: requests to predict, and outcomes to learn from."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from extproc.estimate.latency import LatencyEstimator
from extproc.estimate.latency_records import LatencyPrediction
from extproc.fleet.snapshot import FleetSnapshot

ROWS = np.arange(4)


W, H, R = 0.01, 0.001, 1000.0


def loaded(snapshot: FleetSnapshot, **arrays: list[float]) -> FleetSnapshot:
    """The snapshot with some arrays replaced."""
    changes: dict[str, Any] = {name: np.array(value) for name, value in arrays.items()}
    return replace(snapshot, **changes)


def predict(estimator: LatencyEstimator, snapshot: FleetSnapshot, **changes: Any) -> LatencyPrediction:
    """Predict 100 prompt and 11 output tokens on every row."""
    asked: dict[str, Any] = {"prompt_tokens": 100, "output_tokens": 11, "sequences": 1, **changes}
    return estimator.predict(snapshot, ROWS, **asked)


def teach(
    estimator: LatencyEstimator, snapshot: FleetSnapshot, *, row: int = 0, times: int = 1, **changes: Any
) -> bool:
    """Learn from requests of 100 prompt and 101 output tokens that took 0.4 s and 4.4 s."""
    learned = False
    for _ in range(times):
        load = predict(estimator, snapshot, output_tokens=101).load(row)
        outcome: dict[str, Any] = {
            "prompt_tokens": 100,
            "completion_tokens": 101,
            "ttft_seconds": 0.4,
            "e2e_seconds": 4.4,
            "attempts": 1,
            **changes,
        }
        learned = estimator.learn(snapshot.table.addresses[row], load, **outcome)
    return learned
