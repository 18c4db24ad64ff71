"""How long predicting and learning take on this machine."""

from __future__ import annotations

import timeit
from collections.abc import Callable

import numpy as np

from extproc.estimate.latency import LatencyEstimator
from extproc.estimate.latency_records import LatencyPrediction
from extproc.fleet.load import LoadBook
from loadgen.latency_eval.trace import A100_8B, fleet_of

SIZES = (16, 52, 256, 1024)


class _Case:
    """A fleet of one size with a quarter of its instances full."""

    def __init__(self, size: int) -> None:
        book = LoadBook(fleet_of(A100_8B, size, 64))
        for row, address in enumerate(book.table.addresses):
            for number in range(70 if row % 4 == 0 else 3):
                book.charge(
                    f"{row}/{number}",
                    addresses=(address,),
                    request_id="",
                    sequences=1,
                    prompt_tokens=500,
                    output_tokens=200,
                    now=0.0,
                    expires_at=1.0,
                )
        self._address = book.table.addresses[1]
        self._snapshot = book.snapshot(0.0)
        self._rows = np.arange(size)
        self._estimator = LatencyEstimator(book.table)
        self._load = self.predict().load(1)

    def predict(self) -> LatencyPrediction:
        """Predict on every instance."""
        return self._estimator.predict(
            self._snapshot, self._rows, prompt_tokens=500, output_tokens=200, sequences=1
        )

    def learn(self) -> None:
        """Learn from one request."""
        self._estimator.learn(
            self._address,
            self._load,
            prompt_tokens=500,
            completion_tokens=200,
            ttft_seconds=0.1,
            e2e_seconds=2.4,
            attempts=1,
            sequences_meanwhile=3.0,
        )


def measure() -> dict[str, dict[str, float]]:
    """Microseconds of a prediction and of a lesson by number of instances: the best of several means."""
    cases = {size: _Case(size) for size in SIZES}
    return {
        str(size): {"predict": _microseconds(case.predict), "learn": _microseconds(case.learn)}
        for size, case in cases.items()
    }


def _microseconds(call: Callable[[], object], *, number: int = 300, repeats: int = 7) -> float:
    return 1e6 * min(timeit.repeat(call, number=number, repeat=repeats)) / number
