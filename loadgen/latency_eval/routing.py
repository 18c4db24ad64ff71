"""What estimates are worth to a router: two clusters of simulated engines whose declared speeds are both wrong."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from extproc.estimate.latency import LatencyEstimator
from extproc.estimate.latency_records import LoadAtDecision
from extproc.fleet.load import LoadBook
from extproc.fleet.topology import Fleet, Speed
from loadgen.engine.core import Engine
from loadgen.engine.records import Completion, EngineRequest
from loadgen.latency_eval.simulated import Arrivals
from loadgen.latency_eval.trace import MEDIAN_OUTPUT


@dataclass(frozen=True, slots=True)
class _Sent:
    address: str
    load: LoadAtDecision


def routed_latencies(fleet: Fleet, engines: list[Engine], arrivals: Arrivals, *, learns: bool) -> list[float]:
    """Total seconds of every request when each goes where its own and the caused delay together are least.

    Lengths are not known to the router, which takes the median for all.

    Args:
        fleet: As declared.
        engines: One for each instance, in the order of the fleet.
        arrivals: Times and lengths.
        learns: False for a router that believes the declared speeds for ever.
    """
    router = _Router(fleet, engines, learns=learns)
    totals = [math.nan] * len(arrivals.times)
    coming = zip(arrivals.times, arrivals.prompts, arrivals.outputs, strict=True)
    for number, (now, prompt, output) in enumerate(coming):
        router.collect(now, totals)
        router.send(number, now, prompt, output)
    router.collect(math.inf, totals)
    return totals


class _Router:
    """A load book, an estimator and the engines behind them."""

    def __init__(self, fleet: Fleet, engines: list[Engine], *, learns: bool) -> None:
        self._book = LoadBook(fleet)
        self._estimator = LatencyEstimator(self._book.table)
        self._rows = np.arange(len(self._book.table))
        self._engines = engines
        self._learns = learns
        self._sent: dict[int, _Sent] = {}

    def collect(self, now: float, totals: list[float]) -> None:
        """Note what has ended by `now`, and learn from it."""
        ended = [done for engine in self._engines for done in engine.advance(now).completions]
        for done in sorted(ended, key=lambda done: done.finished_seconds):
            number = int(done.request_id)
            totals[number] = done.finished_seconds - done.submitted_seconds
            self._book.release(done.request_id, now=done.finished_seconds)
            if self._learns:
                self._learn(done, self._sent.pop(number), totals[number])

    def _learn(self, done: Completion, sent: _Sent, total: float) -> None:
        row = self._book.table.row_by_address[sent.address]
        left = float(self._book.snapshot(done.finished_seconds).sequences[row])
        self._estimator.learn(
            sent.address,
            sent.load,
            prompt_tokens=done.prompt_tokens,
            completion_tokens=done.output_tokens,
            ttft_seconds=done.first_token_seconds - done.submitted_seconds,
            e2e_seconds=total,
            attempts=1,
            sequences_meanwhile=(sent.load.sequences + left) / 2.0,
        )

    def send(self, number: int, now: float, prompt_tokens: int, output_tokens: int) -> None:
        """Send a request where its own time and the delay that it causes are least."""
        prediction = self._estimator.predict(
            self._book.snapshot(now),
            self._rows,
            prompt_tokens=prompt_tokens,
            output_tokens=MEDIAN_OUTPUT,
            sequences=1,
        )
        row = int(np.argmin(prediction.total_seconds + prediction.caused_seconds))
        address = self._book.table.addresses[row]
        self._sent[number] = _Sent(address, prediction.load(row))
        request = EngineRequest(
            request_id=str(number), prompt_tokens=prompt_tokens, output_tokens=(output_tokens,)
        )
        self._engines[row].submit(request, now)
        self._book.charge(
            str(number),
            addresses=(address,),
            request_id="",
            sequences=1,
            prompt_tokens=prompt_tokens,
            output_tokens=round(MEDIAN_OUTPUT),
            now=now,
            expires_at=math.inf,
        )


def scaled(speed: Speed, factor: float) -> Speed:
    """A speed that takes `factor` times as long in everything."""
    return Speed(
        iteration_base_seconds=factor * speed.iteration_base_seconds,
        iteration_per_sequence_seconds=factor * speed.iteration_per_sequence_seconds,
        prefill_tokens_per_second=speed.prefill_tokens_per_second / factor,
    )
