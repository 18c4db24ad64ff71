"""Starts the three arms, measures them in turns within each round, and stops everything."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import orjson
from rich.console import Console

from loadgen.bench.arms import Arm, ArmName, fleet_document, is_listening
from loadgen.bench.bodies import BodyShape, chat_bodies
from loadgen.bench.cases import Case, Extent
from loadgen.bench.client import (
    Connection,
    LoadClient,
    LoadResult,
    Request,
    chat_request,
    connected,
    sampled_traceparents,
)
from loadgen.bench.cpu import cpu_seconds
from loadgen.stack.failure import StackError
from loadgen.stack.ports import free_ports
from loadgen.stack.process import ChildProcess
from loadgen.workload.prompts import TextSource

INSTANCES = 16
CONCURRENCY = 4
"""Requests at once in a closed loop."""

OPEN_LOOP_CONNECTIONS = 32
BODIES_PER_CASE = 16

SETTLE_SECONDS = 0.15
"""Envoy reports finished requests every 0.1 s; the round's CPU is read after that."""

_PORTS_PER_ARM = 4


@dataclass(frozen=True, slots=True)
class Sample:
    """One arm in one round of one case.

    Attributes:
        requests: Requests answered.
        elapsed_seconds: From its first request until Envoy's last report was taken in.
        service_cpu_seconds: Of the process behind Envoy's gRPC cluster, access log and spans included.
        envoy_cpu_seconds: Of Envoy.
        latencies_seconds: As the client saw them.
    """

    requests: int
    elapsed_seconds: float
    service_cpu_seconds: float
    envoy_cpu_seconds: float
    latencies_seconds: tuple[float, ...]


Samples = Mapping[tuple[Case, ArmName], Sequence[Sample]]
"""By case and arm, one sample per round; equal positions were measured right after each other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchResult:
    """What was measured.

    Attributes:
        extent: What was asked for.
        seed: Seed of bodies, arrivals and intervals.
        samples: Every sample that counts.
        background_cpu_ratio: CPU seconds per second of each arm's service without any request (scrapes, health).
    """

    extent: Extent
    seed: int
    samples: Samples
    background_cpu_ratio: Mapping[ArmName, float]


class Bench:
    """The running arms with a client each.

    Args:
        arms: Started arms.
        connections: Open connections to each arm's gateway.
        seed: Seed of bodies and arrivals.
    """

    def __init__(
        self, arms: Mapping[ArmName, Arm], connections: Mapping[ArmName, Sequence[Connection]], seed: int
    ) -> None:
        self._arms = arms
        self._connections = connections
        self._seed = seed
        self._traceparents = sampled_traceparents(seed)
        self._source = TextSource(seed)
        self._requests: dict[tuple[int, str], tuple[Request, ...]] = {}
        self._sent = dict.fromkeys(arms, 0)

    async def measure(self, extent: Extent, on_round: Callable[[str], None]) -> Samples:
        """Measure every case and arm in every round; `on_round` hears what is under way.

        Raises:
            StackError: A request failed.
        """
        samples: dict[tuple[Case, ArmName], list[Sample]] = {}
        names = list(self._arms)
        for number in range(-extent.warm_up_rounds, extent.rounds):
            for position, case in enumerate(extent.cases):
                on_round(
                    f"round {number + 1} of {extent.rounds}: {case.label}" if number >= 0 else "warming up"
                )
                first = (number + position) % len(names)
                for name in names[first:] + names[:first]:
                    sample = await self._sample(case, name, number)
                    if number >= 0:
                        samples.setdefault((case, name), []).append(sample)
        return samples

    async def background(self, seconds: float) -> dict[ArmName, float]:
        """CPU seconds per second of each arm's service while nothing is asked."""
        before = {name: cpu_seconds(arm.service.pid) for name, arm in self._arms.items()}
        await asyncio.sleep(seconds)
        return {
            name: (cpu_seconds(arm.service.pid) - before[name]) / seconds for name, arm in self._arms.items()
        }

    async def check_streams(self) -> None:
        """Make sure that Envoy asked about each request, and got its answer, where it should have asked.

        Raises:
            StackError: It did not, so that the figures would be of something else.
        """
        for name, arm in self._arms.items():
            counters = await _ext_proc_counters(arm)
            expected = 0 if name is ArmName.NONE else self._sent[name]
            started, failed = counters.get("streams_started", 0), counters.get("failure_mode_allowed", 0)
            if started != expected or failed:
                raise StackError(
                    f"in the benchmark's {name} arm Envoy opened {started} streams for {expected} requests, and "
                    f"{failed} of them failed. Its logs: {arm.service.log}, {arm.envoy.log}"
                )

    async def _sample(self, case: Case, name: ArmName, number: int) -> Sample:
        arm = self._arms[name]
        started = time.perf_counter()
        service_before, envoy_before = cpu_seconds(arm.service.pid), cpu_seconds(arm.envoy.pid)
        result = await self._load(case, name, number)
        await asyncio.sleep(SETTLE_SECONDS)
        if result.failures:
            raise StackError(
                f"the benchmark's {name} arm failed requests ({case.label}): {dict(result.failures)}. "
                f"Its logs: {arm.service.log}, {arm.envoy.log}"
            )
        self._sent[name] += len(result.latencies_seconds)
        return Sample(
            requests=len(result.latencies_seconds),
            elapsed_seconds=time.perf_counter() - started,
            service_cpu_seconds=cpu_seconds(arm.service.pid) - service_before,
            envoy_cpu_seconds=cpu_seconds(arm.envoy.pid) - envoy_before,
            latencies_seconds=tuple(result.latencies_seconds),
        )

    async def _load(self, case: Case, name: ArmName, number: int) -> LoadResult:
        connections = self._connections[name]
        traceparent = self._traceparents if case.sample_ratio else _no_traceparent
        requests = self._requests_of(case)
        if case.per_second is None:
            client = LoadClient(connections[:CONCURRENCY], traceparent)
            return await client.closed_loop(requests, case.requests_per_round)
        return await LoadClient(connections, traceparent).open_loop(
            requests, case.requests_per_round, per_second=case.per_second, seed=self._seed + number
        )

    def _requests_of(self, case: Case) -> tuple[Request, ...]:
        key = (case.body_bytes, case.model)
        if key not in self._requests:
            shape = BodyShape(body_bytes=case.body_bytes, model=case.model)
            self._requests[key] = tuple(map(chat_request, chat_bodies(shape, BODIES_PER_CASE, self._source)))
        return self._requests[key]


async def run_bench(extent: Extent, run_dir: Path, *, seed: int, console: Console) -> BenchResult:
    """Run the benchmark.

    Raises:
        StackError: A part did not start, or a request failed; the message says which and why.
    """
    ports = free_ports(INSTANCES + _PORTS_PER_ARM * len(ArmName))
    instance_ports, own_ports = ports[:INSTANCES], ports[INSTANCES:]
    async with AsyncExitStack() as stack:
        with console.status("starting three Envoys, the service and its no-op rivals"):
            await _start_upstream(stack, instance_ports, run_dir)
            arms = {}
            for index, name in enumerate(ArmName):
                mine = own_ports[index * _PORTS_PER_ARM : (index + 1) * _PORTS_PER_ARM]
                arm = Arm(name, run_dir / name, fleet_document(instance_ports, mine))
                arms[name] = await stack.enter_async_context(arm)
            connections = {
                name: await stack.enter_async_context(
                    connected(arm.settings.gateway.listen, OPEN_LOOP_CONNECTIONS)
                )
                for name, arm in arms.items()
            }
        bench = Bench(arms, connections, seed)
        with console.status("warming up") as status:
            samples = await bench.measure(extent, status.update)
            status.update("watching the services without requests")
            background = await bench.background(extent.background_seconds)
            await bench.check_streams()
    return BenchResult(extent=extent, seed=seed, samples=samples, background_cpu_ratio=background)


async def _start_upstream(stack: AsyncExitStack, ports: Sequence[int], run_dir: Path) -> None:
    command = [sys.executable, "-m", "loadgen.bench.upstream", *map(str, ports)]
    upstream = ChildProcess("the instances' stand-in", command, run_dir / "upstream.log")

    async def all_listen() -> bool:
        return all([await is_listening(f"127.0.0.1:{port}") for port in ports])

    stack.push_async_callback(upstream.stop)
    await upstream.start(all_listen, within_seconds=20)


async def _ext_proc_counters(arm: Arm) -> dict[str, int]:
    """Envoy's counters of the DECIDE filter, by their last word."""
    url = f"{arm.envoy_admin_url}/stats?format=json&filter=^http.ingress.ext_proc"
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        entries = orjson.loads(await response.read())["stats"]
    return {entry["name"].rpartition(".")[2]: entry["value"] for entry in entries if "value" in entry}


def _no_traceparent() -> None:
    return None
