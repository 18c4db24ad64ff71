"""Who predicts latencies: the static prior, RouteBalance's form, and the service's estimator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from extproc.estimate.latency import RESIDUAL_SHARE, LatencyEstimator
from extproc.estimate.latency_records import LoadAtDecision
from extproc.fleet.snapshot import FleetSnapshot, FleetTable
from loadgen.latency_eval.trace import TimedRequest

INTERVAL = (0.05, 0.95)
"""Quantiles of the interval that is to hold 90 % of latencies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """What is known when a request arrives.

    Attributes:
        number: Of the request in its trace.
        snapshot: The fleet's load.
        row: The request's instance.
        prompt_tokens: As reported later; the estimate of tokens is judged elsewhere.
        output_tokens: The length that is predicted with.
        pending_decode_tokens: Tokens that the sequences in the instance are still to produce, dead-reckoned.
    """

    number: int
    snapshot: FleetSnapshot
    row: int
    prompt_tokens: int
    output_tokens: float
    pending_decode_tokens: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """What is known when a request has ended.

    Attributes:
        request: With its measured latencies.
        sequences_at_end: Sequences in its instance, without it.
    """

    request: TimedRequest
    sequences_at_end: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Guess:
    """Predicted latencies; a figure that a form does not have is NaN.

    Attributes:
        ttft_seconds: To the first token.
        total_seconds: To the last token.
        ttft_interval: Quantiles `INTERVAL` of the time to the first token.
        total_interval: Quantiles `INTERVAL` of the total.
    """

    ttft_seconds: float
    total_seconds: float
    ttft_interval: tuple[float, float] = (np.nan, np.nan)
    total_interval: tuple[float, float] = (np.nan, np.nan)


class Predictor(Protocol):
    """Predicts at arrivals and learns from what has finished since."""

    def predict(self, moment: Moment) -> Guess:
        """The request's latencies as far as they can be known on its arrival."""

    def learn(self, moment: Moment, ended: Ended) -> None:
        """Learn from a request that has finished; `moment` is that of its arrival."""


class Static:
    """The fleet file's speeds in the form of `extproc.estimate.work`: queue, prefill, W + H per iteration."""

    def predict(self, moment: Moment) -> Guess:
        """By the prior alone."""
        table, row = moment.snapshot.table, moment.row
        base, per_sequence = table.iteration_base_seconds[row], table.iteration_per_sequence_seconds[row]
        slots, present = table.max_num_seqs[row], moment.snapshot.sequences[row]
        running = min(present, slots)
        residual = RESIDUAL_SHARE * (moment.snapshot.mean_output_tokens[row] or moment.output_tokens)
        slot = residual * (base + per_sequence * running) / max(1.0, running)
        backlog = moment.snapshot.prefill_backlog_tokens[row]
        prefill = (moment.prompt_tokens + backlog) / table.prefill_tokens_per_second[row]
        before = slot * max(0.0, present + 1.0 - slots) + prefill
        iteration = base + per_sequence * min(running + 1.0, slots)
        return Guess(
            ttft_seconds=float(before + iteration),
            total_seconds=float(before + moment.output_tokens * iteration),
        )

    def learn(self, moment: Moment, ended: Ended) -> None:
        """Learn nothing."""


class Ours:
    """The service's estimator.

    Args:
        table: The fleet; its speeds are the prior.
        output_log_spread: As `LatencyEstimator.predict` takes it.
        is_streamed: False when only the last byte's time is known.
    """

    def __init__(
        self, table: FleetTable, *, output_log_spread: float = 0.0, is_streamed: bool = True
    ) -> None:
        self.estimator = LatencyEstimator(table)
        self._output_log_spread = output_log_spread
        self._is_streamed = is_streamed
        self._loads: dict[int, LoadAtDecision] = {}

    def predict(self, moment: Moment) -> Guess:
        """By the physical form; the interval from two quantiles."""
        low, high = (
            self.estimator.predict(
                moment.snapshot,
                np.array([moment.row]),
                prompt_tokens=moment.prompt_tokens,
                output_tokens=moment.output_tokens,
                sequences=1,
                quantile=quantile,
                output_log_spread=self._output_log_spread,
            )
            for quantile in INTERVAL
        )
        self._loads[moment.number] = low.load(0)
        return Guess(
            ttft_seconds=float(low.ttft_seconds[0]),
            total_seconds=float(low.total_seconds[0]),
            ttft_interval=(float(low.ttft_upper_seconds[0]), float(high.ttft_upper_seconds[0])),
            total_interval=(float(low.total_upper_seconds[0]), float(high.total_upper_seconds[0])),
        )

    def learn(self, moment: Moment, ended: Ended) -> None:
        """Learn as the service does."""
        request, load = ended.request, self._loads.pop(moment.number)
        self.estimator.learn(
            moment.snapshot.table.addresses[moment.row],
            load,
            prompt_tokens=request.prompt_tokens,
            completion_tokens=request.output_tokens,
            ttft_seconds=request.ttft_seconds if self._is_streamed else None,
            e2e_seconds=request.total_seconds,
            attempts=1,
            sequences_meanwhile=(load.sequences + ended.sequences_at_end) / 2.0,
        )


_ENOUGH = 2.0
_LEAST_TPOT_SECONDS = 0.001
"""RouteBalance clamps its TPOT to a millisecond."""


class RouteBalance:
    """T = TPOT · (d / b + L), without d / b while a slot is free (arXiv 2606.17949).

    d are the pending decode tokens, b is the running batch, L the output's length. TPOT is the prior's W + H·b (the
    paper's static arm has a constant per tier), or learned: recursive least squares of the measured TPOT on the running
    batch, which stands for the paper's trees on 25 features of the engine's state.

    Args:
        learns: False for the static arm.
    """

    _FORGETTING = 0.99

    def __init__(self, *, learns: bool) -> None:
        self._learns = learns
        self._gram = np.zeros((2, 2))
        self._moments = np.zeros(2)

    def predict(self, moment: Moment) -> Guess:
        """The total; this form has no time to the first token."""
        slots = moment.snapshot.table.max_num_seqs[moment.row]
        present = float(moment.snapshot.sequences[moment.row])
        running = min(present, slots)
        queue = moment.pending_decode_tokens / max(running, 1.0) if present >= slots else 0.0
        total = self._tpot(moment, running) * (queue + moment.output_tokens)
        return Guess(ttft_seconds=np.nan, total_seconds=total)

    def _tpot(self, moment: Moment, running: float) -> float:
        table = moment.snapshot.table
        base = float(table.iteration_base_seconds[moment.row])
        per_sequence = float(table.iteration_per_sequence_seconds[moment.row])
        if self._gram[0, 0] < _ENOUGH:
            return base + per_sequence * (running + 1.0)
        # Keeps the slope at zero until batches of several sizes were seen.
        ridge = np.diag([0.0, 1.0])
        intercept, slope = np.linalg.solve(self._gram + ridge, self._moments)
        return max(_LEAST_TPOT_SECONDS, float(intercept + slope * running))

    def learn(self, moment: Moment, ended: Ended) -> None:
        """Learn the time per output token at the running batch of the request's arrival."""
        request = ended.request
        if not self._learns or request.output_tokens < 2:
            return
        running = min(
            float(moment.snapshot.sequences[moment.row]),
            float(moment.snapshot.table.max_num_seqs[moment.row]),
        )
        features = np.array([1.0, running])
        tpot = (request.total_seconds - request.ttft_seconds) / (request.output_tokens - 1)
        self._gram = self._FORGETTING * self._gram + np.outer(features, features)
        self._moments = self._FORGETTING * self._moments + tpot * features
