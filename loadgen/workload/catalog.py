"""The workloads by name: recorded where the data folder is there, drawn from fitted figures where it is not."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np

from loadgen.workload.calls import Call, Workload
from loadgen.workload.fitted import FITTED
from loadgen.workload.generators import generate
from loadgen.workload.prompts import MIXES
from loadgen.workload.traces import Trace, read_trace

NAMES = tuple(FITTED)
"""Every workload that can be asked for."""


def load_workload(name: str, count: int, *, folder: Path | None, seed: int) -> Workload:
    """Give `count` calls of a workload: the recording when there is a data folder, generated calls otherwise.

    A recording shorter than `count` starts over, with prefixes of its own in each round.

    Raises:
        ValueError: Unknown name, or `count` < 1.
        FileNotFoundError: The data folder lacks the trace.
    """
    if name not in FITTED:
        raise ValueError(f"unknown workload {name!r}; choose one of {', '.join(NAMES)}")
    if count < 1:
        raise ValueError(f"a workload needs at least one request, not {count}")
    publisher = FITTED[name].source.split(",")[0]
    if folder is None:
        trace = generate(FITTED[name], count, np.random.default_rng(seed))
        description = f"{name}: generated (no data folder), fitted to {publisher}"
    else:
        recorded = read_trace(name, folder)
        rounds = math.ceil(count / len(recorded.calls))
        trace = _repeat(recorded, count, rounds)
        again = f", {rounds} times over" if rounds > 1 else ""
        description = f"{name}: recorded by {publisher} ({len(recorded.calls)} requests{again})"
    return Workload(
        name=name,
        description=description,
        is_recorded=folder is not None,
        arrivals=trace.arrivals,
        calls=trace.calls,
        mix=MIXES[name],
    )


def _repeat(trace: Trace, count: int, rounds: int) -> Trace:
    if rounds == 1:
        return Trace(trace.arrivals[:count], trace.calls[:count])
    gap = float(trace.arrivals[-1]) / max(1, len(trace.arrivals) - 1)
    length = float(trace.arrivals[-1]) + gap
    arrivals = np.concatenate([trace.arrivals + turn * length for turn in range(rounds)])
    calls = [_in_round(call, turn) for turn in range(rounds) for call in trace.calls]
    return Trace(arrivals[:count], tuple(calls[:count]))


def _in_round(call: Call, turn: int) -> Call:
    # An old prompt that comes again would find every cache warm; it gets text of its own instead.
    shift = turn << 40
    return replace(
        call,
        conversation=call.conversation + shift,
        blocks=tuple(block + shift for block in call.blocks),
    )
