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
    book = LoadBook(fleet)
    estimator = LatencyEstimator(book.table)
    rows = np.arange(len(book.table))
    sent: dict[int, _Sent] = {}
    totals = [math.nan] * len(arrivals.times)

    def collect(now: float) -> None:
        ended: list[Completion] = []
        for engine in engines:
            ended += engine.advance(now).completions
        for done in sorted(ended, key=lambda done: done.finished_seconds):
            number = int(done.request_id)
            totals[number] = done.finished_seconds - done.submitted_seconds
            book.release(done.request_id)
            if learns:
                address, load = sent[number].address, sent[number].load
                left = book.snapshot(done.finished_seconds).sequences[book.table.row_by_address[address]]
                estimator.learn(
                    address,
                    load,
                    prompt_tokens=done.prompt_tokens,
                    completion_tokens=done.output_tokens,
                    ttft_seconds=done.first_token_seconds - done.submitted_seconds,
                    e2e_seconds=totals[number],
                    attempts=1,
                    sequences_at_end=float(left),
                )

    for number, (now, prompt, output) in enumerate(
        zip(arrivals.times, arrivals.prompts, arrivals.outputs, strict=True)
    ):
        collect(now)
        prediction = estimator.predict(
            book.snapshot(now), rows, prompt_tokens=prompt, output_tokens=MEDIAN_OUTPUT, sequences=1
        )
        row = int(np.argmin(prediction.total_seconds + prediction.caused_seconds))
        sent[number] = _Sent(book.table.addresses[row], prediction.load(row))
        request = EngineRequest(request_id=str(number), prompt_tokens=prompt, output_tokens=(output,))
        engines[row].submit(request, now)
        book.charge(
            str(number),
            addresses=(sent[number].address,),
            request_id="",
            sequences=1,
            prompt_tokens=prompt,
            output_tokens=round(MEDIAN_OUTPUT),
            now=now,
            expires_at=math.inf,
        )
    collect(math.inf)
    return totals


def scaled(speed: Speed, factor: float) -> Speed:
    """A speed that takes `factor` times as long in everything."""
    return Speed(
        iteration_base_seconds=factor * speed.iteration_base_seconds,
        iteration_per_sequence_seconds=factor * speed.iteration_per_sequence_seconds,
        prefill_tokens_per_second=speed.prefill_tokens_per_second / factor,
    )
