"""A fleet of several pools in virtual time: somebody chooses, an overflow goes on to a roomier instance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np

from extproc.fleet.vllm_metrics import InstanceMetrics
from loadgen.engine.records import Completion
from loadgen.planning.hardware import Hardware
from loadgen.planning.topology import PlannedPool, addresses
from loadgen.planning.traffic import Floats, Ints, Traffic
from loadgen.virtual.events import Events
from loadgen.virtual.machines import Machines

REPORT_SECONDS = 0.1
"""Delay of the access log."""

SCRAPE_SECONDS = 1.0


class Chooser(Protocol):
    """Chooses instances for a request and hears what became of it."""

    def choose(self, number: int, now: float) -> Sequence[str]:
        """Addresses in the order of the tries; none when the request is refused."""
        ...

    def overflowed(self, number: int, address: str, now: float) -> None:
        """An instance found the request too long."""
        ...

    def finished(self, number: int, address: str | None, now: float) -> None:
        """The request ended at an instance, or nowhere; told a little later."""
        ...

    def observe(self, address: str, metrics: InstanceMetrics, now: float) -> None:
        """An instance was scraped."""
        ...


class Turns:
    """Chooses instances in turn, whatever they have to do.

    Args:
        addresses: What is chosen among.
    """

    def __init__(self, addresses: Sequence[str]) -> None:
        self._addresses = addresses

    def choose(self, number: int, now: float) -> Sequence[str]:  # noqa: ARG002 - the protocol's
        """Whose turn it is."""
        return (self._addresses[number % len(self._addresses)],)

    def overflowed(self, number: int, address: str, now: float) -> None:
        """Nothing to learn."""

    def finished(self, number: int, address: str | None, now: float) -> None:
        """Nothing to learn."""

    def observe(self, address: str, metrics: InstanceMetrics, now: float) -> None:
        """Nothing to learn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetRun:
    """What came of a run; arrays have one entry per request, NaN and -1 for those that nobody served.

    Attributes:
        ttft_seconds: Time to the first token, overflows before it included.
        tpot_seconds: Mean time per output token after the first; NaN for answers of one token.
        pool: Pool that served it.
        overflows: Instances that found it too long.
        preemptions: How often it lost its KV blocks.
        busy_share: Share of the time that the engines computed, by pool.
    """

    ttft_seconds: Floats
    tpot_seconds: Floats
    pool: Ints
    overflows: Ints
    preemptions: Ints
    busy_share: tuple[float, ...]


class _Fleet:
    def __init__(
        self, hardware: Hardware, pools: Sequence[PlannedPool], traffic: Traffic, chooser: Chooser
    ) -> None:
        self.events = Events()
        self.pool_of: dict[str, int] = {}
        configs = {}
        for index, pool in enumerate(pools):
            config = pool.shape.engine(hardware)
            for address in addresses(index, pool.instances):
                configs[address] = config
                self.pool_of[address] = index
        self._limits = [pool.shape.max_model_len for pool in pools]
        self.machines = Machines(configs, self.events, self._answered)
        self._traffic, self._chooser = traffic, chooser
        self._totals = traffic.sizes.total_tokens.tolist()
        count = len(traffic)
        self.open = count
        self.ttft, self.tpot = np.full(count, np.nan), np.full(count, np.nan)
        self.pool = np.full(count, -1, dtype=np.int64)
        self.overflows, self.preemptions = np.zeros(count, dtype=np.int64), np.zeros(count, dtype=np.int64)
        self.events.at(float(traffic.arrivals[0]), partial(self._arrive, 0))

    def scrape_all(self) -> None:
        for row, address in enumerate(self.pool_of):
            self.events.at(SCRAPE_SECONDS * row / len(self.pool_of), partial(self._scrape, address))

    def _scrape(self, address: str) -> None:
        self._chooser.observe(address, self.machines.metrics(address), self.events.now)
        self.events.after(SCRAPE_SECONDS, partial(self._scrape, address))

    def _arrive(self, number: int) -> None:
        if number + 1 < len(self._traffic):
            self.events.at(float(self._traffic.arrivals[number + 1]), partial(self._arrive, number + 1))
        for address in self._chooser.choose(number, self.events.now):
            if self._totals[number] <= self._limits[self.pool_of[address]]:
                self._submit(number, address)
                return
            self.overflows[number] += 1
            self._chooser.overflowed(number, address, self.events.now)
        self._end(number, None)

    def _submit(self, number: int, address: str) -> None:
        self.pool[number] = self.pool_of[address]
        sizes = self._traffic.sizes
        self.machines.submit(
            address,
            f"{number} {address}",
            prompt_tokens=int(sizes.prompt_tokens[number]),
            output_tokens=int(sizes.output_tokens[number]),
        )

    def _answered(self, completion: Completion) -> None:
        text, address = completion.request_id.split()
        number = int(text)
        self.ttft[number] = completion.first_token_seconds - self._traffic.arrivals[number]
        if completion.output_tokens > 1:
            decoding = completion.finished_seconds - completion.first_token_seconds
            self.tpot[number] = decoding / (completion.output_tokens - 1)
        self.preemptions[number] = completion.preemptions
        self._end(number, address)

    def _end(self, number: int, address: str | None) -> None:
        self.open -= 1
        self.events.after(REPORT_SECONDS, partial(self._report, number, address))

    def _report(self, number: int, address: str | None) -> None:
        self._chooser.finished(number, address, self.events.now)


def run_fleet(
    hardware: Hardware,
    pools: Sequence[PlannedPool],
    traffic: Traffic,
    chooser: Chooser,
    *,
    is_scraped: bool = False,
) -> FleetRun:
    """Run a fleet to the end of its last request.

    Args:
        hardware: What instances are.
        pools: Ascending by context.
        traffic: What comes; not empty.
        chooser: Chooses among `addresses(index of the pool, its instances)`.
        is_scraped: True when the chooser wants to see each instance's metrics once a second.

    Raises:
        ValueError: The hardware cannot hold a pool's context.
    """
    fleet = _Fleet(hardware, pools, traffic, chooser)
    if is_scraped:
        fleet.scrape_all()
    while fleet.open and fleet.events.step():
        pass
    busy = fleet.machines.busy_seconds()
    span = max(fleet.events.now, 1e-9)
    shares = [
        sum(seconds for address, seconds in busy.items() if fleet.pool_of[address] == index)
        / (span * pool.instances)
        for index, pool in enumerate(pools)
    ]
    return FleetRun(
        ttft_seconds=fleet.ttft,
        tpot_seconds=fleet.tpot,
        pool=fleet.pool,
        overflows=fleet.overflows,
        preemptions=fleet.preemptions,
        busy_share=tuple(shares),
    )
