"""CPU time of another process, in nanoseconds, ended threads included."""

from __future__ import annotations

import time

_PROCESS_CPU_CLOCK = 2
"""The low bits of Linux's clock id of a whole process's user and system time (`clock_getcpuclockid`)."""


def cpu_seconds(pid: int) -> float:
    """User and system time of all threads of a process so far.

    `/proc/PID/stat` counts in ticks of 10 ms, a hundred times too coarse for one round.

    Raises:
        ProcessLookupError: There is no such process.
    """
    try:
        return time.clock_gettime((~pid << 3) | _PROCESS_CPU_CLOCK)
    except OSError as error:
        raise ProcessLookupError(f"process {pid} has no CPU clock: did it end?") from error
