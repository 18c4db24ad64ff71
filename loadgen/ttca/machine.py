"""Whether the machine keeps up: CPU time of every process, and how late requests were sent."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from loadgen.bench.cpu import cpu_seconds

WINDOW_SECONDS = 0.5

THREAD_FULL = 0.92
"""Share of one core from which on a process with one busy thread counts as saturated."""

MACHINE_FULL = 0.95
"""Share of all cores from which on the machine does."""

MULTITHREADED = frozenset({"envoy"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Of one run.

    Attributes:
        cores: Mean cores in use, by process.
        saturated: Share of the windows in which that process had no CPU left; `machine` for all together.
    """

    cores: Mapping[str, float]
    saturated: Mapping[str, float]


@dataclass(slots=True)
class MachineWatch:
    """Samples CPU time twice a second, from `start` to `stop`.

    Attributes:
        pids: Processes to watch, by name.
    """

    pids: Mapping[str, int]
    _samples: list[tuple[float, dict[str, float]]] = field(default_factory=list)
    _task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to sample."""
        self._samples.clear()
        self._sample()
        self._task = asyncio.create_task(self._watch())

    def stop(self) -> Usage:
        """End, and say what was seen."""
        if self._task is not None:
            self._task.cancel()
        self._sample()
        return usage(self._samples, cores=os.cpu_count() or 1)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(WINDOW_SECONDS)
            self._sample()

    def _sample(self) -> None:
        seconds = {name: cpu_seconds(pid) for name, pid in self.pids.items()}
        self._samples.append((time.monotonic(), seconds | {"machine": _machine_cpu_seconds()}))


def usage(samples: list[tuple[float, dict[str, float]]], *, cores: int) -> Usage:
    """Usage over CPU seconds read at moments; at least two, a moment apart.

    Args:
        samples: Moment and CPU seconds so far by process, `machine` among them; ascending.
        cores: Of the machine.
    """
    moments = np.array([moment for moment, _ in samples])
    spans = np.diff(moments)
    mean: dict[str, float] = {}
    saturated: dict[str, float] = {}
    for name in samples[0][1]:
        used = np.diff([seconds[name] for _, seconds in samples])
        mean[name] = float(used.sum() / spans.sum())
        if name not in MULTITHREADED:
            # A last, short window says little about a clock that ticks in hundredths.
            whole = spans > WINDOW_SECONDS / 2
            limit = MACHINE_FULL * cores if name == "machine" else THREAD_FULL
            full = used[whole] / spans[whole] >= limit
            saturated[name] = float(full.mean()) if len(full) else 0.0
    return Usage(cores=mean, saturated=saturated)


def _machine_cpu_seconds() -> float:
    """Time that all cores together were not idle since boot."""
    with open("/proc/stat", encoding="ascii") as file:  # noqa: PTH123 - read twice a second
        ticks = [int(text) for text in file.readline().split()[1:9]]
    idle_and_waiting = ticks[3] + ticks[4]
    return (sum(ticks) - idle_and_waiting) / os.sysconf("SC_CLK_TCK")
