"""Replays a trace in the order in which things became known: predict at each arrival, learn at each end."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from extproc.fleet.load import LoadBook
from extproc.fleet.snapshot import FleetSnapshot, Floats
from loadgen.latency_eval.rivals import Ended, Guess, Moment, Predictor
from loadgen.latency_eval.trace import ANY, MEDIAN_OUTPUT, TimedRequest, Trace

Length = Callable[[TimedRequest, Sequence[int]], float]
"""The output length to predict with, from the request and the lengths of what has finished, in that order."""


def true_length(request: TimedRequest, _finished: Sequence[int]) -> float:
    """The length that the answer will have: what errors are left when lengths are known."""
    return float(request.output_tokens)


def usual_length(_request: TimedRequest, finished: Sequence[int]) -> float:
    """The median of the lengths so far; 129 tokens, the Azure chat trace's, before there are some."""
    return float(np.median(finished[-_RECENT:])) if len(finished) >= _FEW else MEDIAN_OUTPUT


_FEW, _RECENT = 20, 500


def replay(
    trace: Trace,
    predictors: Mapping[str, Predictor],
    *,
    length: Length = true_length,
    learns: Callable[[int], bool] = lambda _number: True,
) -> dict[str, list[Guess]]:
    """Let every predictor predict each request of a trace from what had happened before its arrival.

    The load is what the service's load book makes of the arrivals and ends up to then. Where it is not recorded who
    served a request, requests go round the instances, and every prediction is made on the mean instance.

    Args:
        trace: Requests with measured latencies.
        predictors: By name.
        length: The output length to predict with.
        learns: Whether the request of this number may be learned from.

    Returns:
        What each predictor said of every request, in the order of arrivals.
    """
    book = LoadBook(trace.fleet)
    state = _State(trace, book, predictors, learns)
    guesses: dict[str, list[Guess]] = {name: [] for name in predictors}
    for number, request in enumerate(trace.requests):
        state.finish_until(request.arrival)
        moment = state.moment(number, length(request, state.finished))
        for name, predictor in predictors.items():
            guesses[name].append(predictor.predict(moment))
        state.start(moment)
    state.finish_until(math.inf)
    return guesses


class _State:
    """What is in flight at a moment of a replay."""

    def __init__(
        self,
        trace: Trace,
        book: LoadBook,
        predictors: Mapping[str, Predictor],
        learns: Callable[[int], bool],
    ) -> None:
        self._trace = trace
        self._book = book
        self._predictors = predictors
        self._learns = learns
        self._ends: list[tuple[float, int]] = []
        self._moments: dict[int, Moment] = {}
        self.finished: list[int] = []

    def moment(self, number: int, output_tokens: float) -> Moment:
        """What is known when a request arrives."""
        request = self._trace.requests[number]
        table, snapshot = self._book.table, self._book.snapshot(request.arrival)
        row = number % len(table)
        if request.address == ANY:
            snapshot = _mean_instance(snapshot)
        else:
            row = table.row_by_address[request.address]
        return Moment(
            number=number,
            snapshot=snapshot,
            row=row,
            prompt_tokens=request.prompt_tokens,
            output_tokens=output_tokens,
            pending_decode_tokens=self._pending(request, row),
        )

    def start(self, moment: Moment) -> None:
        """Put a request in flight."""
        request = self._trace.requests[moment.number]
        self._moments[moment.number] = moment
        heapq.heappush(self._ends, (request.arrival + request.total_seconds, moment.number))
        self._book.charge(
            str(moment.number),
            addresses=(self._book.table.addresses[moment.row],),
            request_id="",
            sequences=1,
            prompt_tokens=request.prompt_tokens,
            output_tokens=round(moment.output_tokens),
            now=request.arrival,
            expires_at=math.inf,
        )

    def finish_until(self, now: float) -> None:
        """End what has ended by `now`, and learn from it."""
        while self._ends and self._ends[0][0] <= now:
            ended_at, number = heapq.heappop(self._ends)
            moment, request = self._moments.pop(number), self._trace.requests[number]
            self._book.release(str(number), now=ended_at)
            self.finished.append(request.output_tokens)
            snapshot = self._book.snapshot(ended_at)
            sequences = (
                snapshot.sequences.mean() if request.address == ANY else snapshot.sequences[moment.row]
            )
            if self._learns(number):
                ended = Ended(request=request, sequences_at_end=float(sequences))
                for predictor in self._predictors.values():
                    predictor.learn(moment, ended)

    def _pending(self, request: TimedRequest, row: int) -> float:
        """Decode tokens still to come on an instance.

        Who has his first token has since produced one per iteration of the prior at half its slots; first tokens
        that came before now are known.
        """
        is_mean = request.address == ANY
        cluster = self._trace.cluster
        speed = cluster.speed
        tpot = speed.iteration_base_seconds + speed.iteration_per_sequence_seconds * cluster.max_num_seqs / 2
        pending = 0.0
        for number, moment in self._moments.items():
            if is_mean or moment.row == row:
                other = self._trace.requests[number]
                produced = max(0.0, (request.arrival - other.arrival - other.ttft_seconds) / tpot)
                pending += max(1.0, moment.output_tokens - produced)
        return pending / (len(cluster.instances) if is_mean else 1)


def _mean_instance(snapshot: FleetSnapshot) -> FleetSnapshot:
    """A snapshot whose instances all carry the mean load."""

    def mean(values: Floats) -> Floats:
        return np.full(len(values), values.mean())

    return replace(
        snapshot,
        sequences=mean(snapshot.sequences),
        usual_sequences=mean(snapshot.usual_sequences),
        mean_output_tokens=mean(snapshot.mean_output_tokens),
        prefill_backlog_tokens=mean(snapshot.prefill_backlog_tokens),
    )
