"""One pool in virtual time: requests go to its instance with the fewest, or in turn; engines are simulated."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import partial

import numpy as np

from loadgen.engine.config import EngineConfig
from loadgen.engine.records import Completion
from loadgen.planning.traffic import Floats, Ints, Traffic
from loadgen.virtual.events import Events
from loadgen.virtual.machines import Machines


class Balance(StrEnum):
    """How a pool's instances are chosen among: as the router's policies of these names."""

    SHORTEST_QUEUE = "shortest_queue"
    ROUND_ROBIN = "round_robin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """When a run has failed and need not be finished.

    Attributes:
        ttft_seconds: Limit of each request.
        tpot_seconds: Limit of all.
        misses: Most requests, of those counted, that may miss one of the limits.
    """

    ttft_seconds: Floats
    tpot_seconds: float
    misses: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolRun:
    """What came of a run; arrays have one entry per request, NaN for those that were not finished.

    Attributes:
        counted: Index of the first request that counts: those before it found the pool filling up.
        ttft_seconds: Time to the first token.
        tpot_seconds: Mean time per output token after the first; NaN for answers of one token.
        finished_seconds: When the last token came.
        preemptions: How often each request lost its KV blocks.
        is_complete: False when the run was given up because too many missed their limits.
        busy_share: Share of the time that the engines computed.
    """

    counted: int
    ttft_seconds: Floats
    tpot_seconds: Floats
    finished_seconds: Floats
    preemptions: Ints
    is_complete: bool
    busy_share: float


class _Pool:
    """Engines, their queues and what has been measured."""

    def __init__(
        self, config: EngineConfig, instances: int, traffic: Traffic, counted: int, limits: Limits | None
    ) -> None:
        self.events = Events()
        self.addresses = [str(row) for row in range(instances)]
        self.machines = Machines(dict.fromkeys(self.addresses, config), self.events, self._answered)
        self.in_flight = np.zeros(instances, dtype=np.int64)
        self.traffic, self.counted, self.limits = traffic, counted, limits
        count = len(traffic)
        self.rows = np.zeros(count, dtype=np.int64)
        self.ttft, self.tpot = np.full(count, np.nan), np.full(count, np.nan)
        self.finished = np.full(count, np.nan)
        self.preemptions = np.zeros(count, dtype=np.int64)
        self.misses = [0, 0]

    def start(self, balance: Balance) -> None:
        """Plan the first arrival; each one plans the next."""
        self._by_turn = balance is Balance.ROUND_ROBIN
        self._arrivals = self.traffic.arrivals.tolist()
        self._prompts = self.traffic.sizes.prompt_tokens.tolist()
        self._outputs = self.traffic.sizes.output_tokens.tolist()
        self.events.at(self._arrivals[0], partial(self._arrive, 0))

    def _arrive(self, number: int) -> None:
        row = number % len(self.addresses) if self._by_turn else int(self.in_flight.argmin())
        self.rows[number] = row
        self.in_flight[row] += 1
        self.machines.submit(
            self.addresses[row],
            str(number),
            prompt_tokens=self._prompts[number],
            output_tokens=self._outputs[number],
        )
        if number + 1 < len(self._arrivals):
            self.events.at(self._arrivals[number + 1], partial(self._arrive, number + 1))

    def has_failed(self) -> bool:
        return self.limits is not None and max(self.misses) > self.limits.misses

    def _answered(self, completion: Completion) -> None:
        number = int(completion.request_id)
        self.in_flight[self.rows[number]] -= 1
        self.ttft[number] = completion.first_token_seconds - completion.submitted_seconds
        if completion.output_tokens > 1:
            decoding = completion.finished_seconds - completion.first_token_seconds
            self.tpot[number] = decoding / (completion.output_tokens - 1)
        self.finished[number] = completion.finished_seconds
        self.preemptions[number] = completion.preemptions
        if self.limits is not None and number >= self.counted:
            self.misses[0] += bool(self.ttft[number] > self.limits.ttft_seconds[number])
            self.misses[1] += bool(self.tpot[number] > self.limits.tpot_seconds)


def run_pool(
    config: EngineConfig,
    instances: int,
    traffic: Traffic,
    *,
    balance: Balance = Balance.SHORTEST_QUEUE,
    counted: int = 0,
    limits: Limits | None = None,
) -> PoolRun:
    """Run a pool to the end of its last request, or until it has failed its limits.

    Args:
        config: Each instance's engine; it must be able to hold every request.
        instances: How many, at least 1.
        traffic: What comes; not empty.
        balance: How an instance is chosen.
        counted: Index of the first request that counts.
        limits: When to give up; None to run to the end.

    Raises:
        ValueError: A request does not fit the engine's context.
    """
    pool = _Pool(config, instances, traffic, counted, limits)
    pool.start(balance)
    while not pool.has_failed() and pool.events.step():
        pass
    elapsed = max(pool.events.now, float(traffic.arrivals[-1]), 1e-9)
    return PoolRun(
        counted=counted,
        ttft_seconds=pool.ttft,
        tpot_seconds=pool.tpot,
        finished_seconds=pool.finished,
        preemptions=pool.preemptions,
        is_complete=not pool.has_failed(),
        busy_share=sum(pool.machines.busy_seconds().values()) / (instances * elapsed),
    )
