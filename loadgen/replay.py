"""One run from options to summary: choose the workload, lay out the schedule, send it, sum it up."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import numpy as np
import orjson
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from loadgen import arrivals
from loadgen.client import OnProgress, run_load
from loadgen.client import Progress as RunProgress
from loadgen.data import data_folder
from loadgen.report import Summary, summarize
from loadgen.schedule import ScheduledRequest
from loadgen.workload.calls import Workload
from loadgen.workload.catalog import load_workload
from loadgen.workload.requests import RequestMix, build_schedule, clipped_count

DEFAULT_REQUESTS = 500

Process = Literal["trace", "poisson", "gamma", "square", "constant"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """Everything that decides a run, besides the data folder.

    Attributes:
        target: URL of the server.
        workload: Name in the catalogue.
        requests: Most requests; None for no limit when there is a duration, else `DEFAULT_REQUESTS`.
        duration_seconds: Only arrivals before this; None for no limit.
        rate_scale: Time compression of the workload's arrivals, and of its rate for the other processes.
        process: How requests arrive; `trace` is the workload's own way.
        rate: Requests per second of a process; None for the workload's mean rate times `rate_scale`.
        burst_variation: Coefficient of variation of the gaps of `gamma`.
        square_ratio: High rate over low rate of `square`.
        square_period_seconds: A high and a low phase of `square`.
        seed: Seed of everything random.
        timeout_seconds: Most time per request.
        mix: How calls are put into requests.
        pools: Pool by instance, for the report.
    """

    target: str
    workload: str
    requests: int | None = None
    duration_seconds: float | None = None
    rate_scale: float = 1.0
    process: Process = "trace"
    rate: float | None = None
    burst_variation: float = 3.0
    square_ratio: float = 4.0
    square_period_seconds: float = 20.0
    seed: int = 1
    timeout_seconds: float = 300.0
    mix: RequestMix = field(default_factory=RequestMix)
    pools: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedRun:
    """A run before it starts.

    Attributes:
        schedule: Every request with its time.
        workload: The line that says where the requests come from.
        arrivals: The line that says how they arrive.
        clipped_prompts: Prompts that were cut to the size limit.
    """

    schedule: list[ScheduledRequest]
    workload: str
    arrivals: str
    clipped_prompts: int


def plan_run(options: RunOptions, environ: Mapping[str, str]) -> PlannedRun:
    """Decide every request of a run; the same options and data give the same run.

    Raises:
        ValueError: An option is out of range; the message says which and what was expected.
        FileNotFoundError: The data folder was named but is not there, or lacks the trace.
    """
    _check(options)
    folder = data_folder(environ)
    count = options.requests or (None if options.duration_seconds else DEFAULT_REQUESTS)
    # With a duration alone, the number of calls that it takes shows only once their arrivals are laid out.
    size = count or 256
    workload = load_workload(options.workload, size, folder=folder, seed=options.seed)
    times = _arrivals(options, workload)
    while count is None and times[-1] < (options.duration_seconds or 0):
        size *= 2
        workload = load_workload(options.workload, size, folder=folder, seed=options.seed)
        times = _arrivals(options, workload)
    if options.duration_seconds is not None:
        times = arrivals.within(times, options.duration_seconds)
    return PlannedRun(
        schedule=build_schedule(workload, times, options.mix, options.seed),
        workload=workload.description,
        arrivals=_arrival_line(options),
        clipped_prompts=clipped_count(workload, len(times), options.mix),
    )


def run_workload(options: RunOptions, environ: Mapping[str, str], console: Console) -> Summary:
    """Plan a run, carry it out with progress on `console`, and sum it up.

    Raises:
        ValueError: An option is out of range.
        FileNotFoundError: The data are not where they were said to be.
        TargetUnreachableError: Nothing ever answered at the target.
    """
    planned = plan_run(options, environ)
    span = planned.schedule[-1].start_seconds if planned.schedule else 0.0
    console.print(
        f"{len(planned.schedule)} requests to {options.target} within {span:.0f} s", highlight=False
    )
    display = RunDisplay(console, len(planned.schedule))
    with display.shown():
        records = asyncio.run(
            run_load(
                planned.schedule,
                options.target,
                timeout_seconds=options.timeout_seconds,
                on_progress=display.update,
            )
        )
    return summarize(
        records,
        workload=planned.workload,
        arrivals=planned.arrivals,
        seed=options.seed,
        target=options.target,
        pools=options.pools,
        clipped_prompts=planned.clipped_prompts,
    )


def write_summary(summary: Summary, path: Path) -> None:
    """Write a summary as JSON, making its folder when needed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(orjson.dumps(summary, option=orjson.OPT_INDENT_2) + b"\n")


def _check(options: RunOptions) -> None:
    parts = urlsplit(options.target)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError(f"the target must be a URL like http://127.0.0.1:10000, not {options.target!r}")
    for name in ("requests", "duration_seconds", "rate", "rate_scale", "timeout_seconds"):
        value: float | None = getattr(options, name)
        if value is not None and not (value > 0 and math.isfinite(value)):
            raise ValueError(f"{name} must be positive, not {value}")


def _mean_rate(workload: Workload) -> float:
    """Requests per second of a workload's own arrivals; 1 when it has too few to tell."""
    span = float(workload.arrivals[-1])
    return (len(workload.arrivals) - 1) / span if span > 0 else 1.0


def _arrivals(options: RunOptions, workload: Workload) -> arrivals.Times:
    rng = np.random.default_rng(options.seed)
    count = len(workload.calls)
    rate = options.rate or _mean_rate(workload) * options.rate_scale
    match options.process:
        case "trace":
            return arrivals.replay(workload.arrivals, options.rate_scale)
        case "poisson":
            return arrivals.poisson(count, rate, rng)
        case "gamma":
            return arrivals.gamma_burst(count, rate, options.burst_variation, rng)
        case "square":
            return arrivals.square_wave(count, rate, options.square_ratio, options.square_period_seconds, rng)
        case "constant":
            return arrivals.constant(count, rate)


def _arrival_line(options: RunOptions) -> str:
    if options.process == "trace":
        return f"the trace's own arrivals at {options.rate_scale:g} times their rate"
    rate = f"{options.rate:g} requests/s" if options.rate else f"{options.rate_scale:g} times its mean rate"
    detail = {
        "gamma": f" (coefficient of variation {options.burst_variation:g})",
        "square": f" (high/low {options.square_ratio:g}, period {options.square_period_seconds:g} s)",
    }.get(options.process, "")
    return f"{options.process} arrivals{detail} at {rate}"


class RunDisplay:
    """Progress of a run: a bar on a terminal, a line every tenth of the way elsewhere."""

    def __init__(self, console: Console, total: int) -> None:
        self._console = console
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("[red]{task.fields[errors]}"),
            TimeElapsedColumn(),
            console=console,
        )
        self._task = self._bar.add_task("requests", total=total, errors="")
        self._next_line = 0.1

    def shown(self) -> AbstractContextManager[object]:
        """While in this context, progress is on display."""
        return self._bar if self._console.is_terminal else nullcontext()

    @property
    def update(self) -> OnProgress:
        """Where the run reports to."""
        return self._update_bar if self._console.is_terminal else self._print_line

    def _update_bar(self, progress: RunProgress) -> None:
        if progress.notice:
            self._console.print(progress.notice, style="yellow", markup=False, highlight=False)
        errors = f"{progress.errors} errors" if progress.errors else ""
        self._bar.update(self._task, completed=progress.finished, errors=errors)

    def _print_line(self, progress: RunProgress) -> None:
        if progress.notice:
            self._console.print(progress.notice, markup=False, highlight=False)
        if progress.finished < self._next_line * progress.total:
            return
        self._next_line = math.floor(10 * progress.finished / progress.total) / 10 + 0.1
        self._console.print(
            f"{progress.elapsed_seconds:6.1f} s  {progress.finished}/{progress.total} requests, "
            f"{progress.errors} errors",
            highlight=False,
        )
