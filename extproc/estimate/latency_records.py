"""What a latency estimate says, and what must be kept of a decision to learn from its outcome."""

from __future__ import annotations

from dataclasses import dataclass

from extproc.estimate.latency_upper import UpperFactors
from extproc.fleet.snapshot import Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadAtDecision:
    """The load that a request met on its instance and what was predicted of it: nobody knows either when it ends.

    Attributes:
        sequences: Sequences in the instance before this request, running or waiting.
        own_sequences: Sequences of the request itself.
        sequence_seconds: Integral of the instance's sequences over time.
        backlog_tokens: Prompt tokens sent before and probably not yet prefilled.
        waiting_seconds: Predicted wait for a slot, before its learned multiplier; 0 when a slot is free.
        preemption_share: Preemptions per running sequence, 0 to 1.
        ttft_seconds: Predicted time to the first token.
        ttft_alone_seconds: The same on the instance if it were idle.
        iteration_seconds: Predicted time of one further token.
        iteration_alone_seconds: The same on the instance if it were idle.
    """

    sequences: float
    own_sequences: int
    sequence_seconds: float
    backlog_tokens: float
    waiting_seconds: float
    preemption_share: float
    ttft_seconds: float
    ttft_alone_seconds: float
    iteration_seconds: float
    iteration_alone_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyPrediction:
    """Latencies of one request on several instances; position i of every array is position i of the rows asked for.

    The expected figures are medians: latencies err by factors, not by seconds.

    Attributes:
        ttft_seconds: From the request's arrival to its first token.
        total_seconds: From the request's arrival to its last token.
        upper: Factors from these to the quantile asked for.
        caused_seconds: What the request costs the others beyond its own time, those included that are still to come.
        ttft_alone_seconds: `ttft_seconds` if the instance were idle.
        iteration_seconds: Time of one further token.
        iteration_alone_seconds: The same if the instance were idle.
        iterations: Iterations after the first token, for all rows or by row.
        waiting_seconds: Wait for a slot, before its learned multiplier.
        sequences: Sequences in the instance before this request.
        backlog_tokens: Prompt tokens before this request's.
        preemption_share: Preemptions per running sequence, 0 to 1.
        own_sequences: Sequences of the request itself.
        sequence_seconds: Integral of the instance's sequences over time.
    """

    ttft_seconds: Floats
    total_seconds: Floats
    upper: UpperFactors
    caused_seconds: Floats
    ttft_alone_seconds: Floats
    iteration_seconds: Floats
    iteration_alone_seconds: Floats
    iterations: Floats | float
    waiting_seconds: Floats
    sequences: Floats
    backlog_tokens: Floats
    preemption_share: Floats
    own_sequences: int
    sequence_seconds: Floats

    @property
    def ttft_upper_seconds(self) -> Floats:
        """Quantile asked for of the time to the first token."""
        return self.ttft_seconds * self.upper.ttft(self.ttft_alone_seconds / self.ttft_seconds)

    @property
    def total_upper_seconds(self) -> Floats:
        """Quantile asked for of the total."""
        total = self.total_seconds
        alone = self.ttft_alone_seconds + self.iteration_alone_seconds * self.iterations
        return total * self.upper.total(alone / total, self.iteration_seconds * self.iterations / total)

    def total_upper_at(self, position: int) -> float:
        """The same of one position."""
        iterations = (
            self.iterations if isinstance(self.iterations, float) else float(self.iterations[position])
        )
        total = float(self.total_seconds[position])
        alone = float(self.ttft_alone_seconds[position])
        alone += float(self.iteration_alone_seconds[position]) * iterations
        decode = float(self.iteration_seconds[position]) * iterations
        return total * self.upper.total_at(position, alone / total, decode / total)

    def load(self, position: int) -> LoadAtDecision:
        """What is to be kept, until the request ends, of the decision for one position."""
        return LoadAtDecision(
            sequences=float(self.sequences[position]),
            own_sequences=self.own_sequences,
            sequence_seconds=float(self.sequence_seconds[position]),
            backlog_tokens=float(self.backlog_tokens[position]),
            waiting_seconds=float(self.waiting_seconds[position]),
            preemption_share=float(self.preemption_share[position]),
            ttft_seconds=float(self.ttft_seconds[position]),
            ttft_alone_seconds=float(self.ttft_alone_seconds[position]),
            iteration_seconds=float(self.iteration_seconds[position]),
            iteration_alone_seconds=float(self.iteration_alone_seconds[position]),
        )
