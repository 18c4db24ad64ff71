"""Traces of the simulated engine: Poisson arrivals on several instances in virtual time, routed by least load."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from extproc.fleet.topology import Speed
from loadgen.engine.config import EngineConfig
from loadgen.engine.core import Engine
from loadgen.engine.records import Completion, EngineRequest
from loadgen.latency_eval.trace import MEDIAN_OUTPUT, TimedRequest, Trace, fleet_of

SLOTS = 64
LENGTH_SIGMA = 0.86
MEDIAN_PROMPT = 600.0
MOST_TOKENS = 4000
"""Lengths are log-normal; outputs as the Azure chat trace's."""


@dataclass(frozen=True, slots=True)
class Arrivals:
    """When requests come, and their lengths in tokens."""

    times: tuple[float, ...]
    prompts: tuple[int, ...]
    outputs: tuple[int, ...]

    @classmethod
    def poisson(cls, count: int, per_second: float, seed: int) -> Arrivals:
        """A Poisson process with log-normal lengths."""
        rng = np.random.default_rng(seed)
        times = np.cumsum(rng.exponential(1.0 / per_second, count)).tolist()

        def lengths(median: float) -> tuple[int, ...]:
            drawn = np.round(rng.lognormal(math.log(median), LENGTH_SIGMA, count))
            return tuple(int(length) for length in np.clip(drawn, 1, MOST_TOKENS))

        return cls(tuple(times), lengths(MEDIAN_PROMPT), lengths(MEDIAN_OUTPUT))


def engine_config(speed: Speed) -> EngineConfig:
    """An engine of that speed."""
    return EngineConfig(
        iteration_base_seconds=speed.iteration_base_seconds,
        iteration_per_sequence_seconds=speed.iteration_per_sequence_seconds,
        prefill_tokens_per_second=speed.prefill_tokens_per_second,
        max_num_seqs=SLOTS,
        max_model_len=2 * MOST_TOKENS,
    )


def simulated_trace(name: str, *, prior: Speed, speeds: Sequence[Speed], arrivals: Arrivals) -> Trace:
    """Send each request to the engine with the fewest sequences and record its latencies.

    Args:
        name: Of the trace.
        prior: What the fleet file says of the engines, right or wrong.
        speeds: The engines' true speeds, one per instance.
        arrivals: Times and lengths.
    """
    fleet = fleet_of(prior, len(speeds), SLOTS)
    addresses = [instance.address for instance in fleet.clusters[0].instances]
    engines = [Engine(engine_config(speed)) for speed in speeds]
    chosen: list[int] = []
    ended: dict[int, Completion] = {}
    for number, now in enumerate(arrivals.times):
        for engine in engines:
            _collect(engine, now, ended)
        loads = [engine.running + engine.waiting for engine in engines]
        chosen.append(loads.index(min(loads)))
        prompt, output = arrivals.prompts[number], arrivals.outputs[number]
        engines[chosen[-1]].submit(
            EngineRequest(request_id=str(number), prompt_tokens=prompt, output_tokens=(output,)), now
        )
    for engine in engines:
        _collect(engine, math.inf, ended)
    requests = tuple(
        TimedRequest(
            address=addresses[chosen[number]],
            arrival=done.submitted_seconds,
            prompt_tokens=done.prompt_tokens,
            output_tokens=done.output_tokens,
            ttft_seconds=done.first_token_seconds - done.submitted_seconds,
            total_seconds=done.finished_seconds - done.submitted_seconds,
        )
        for number, done in sorted(ended.items())
    )
    return Trace(name=name, requests=requests, fleet=fleet)


def one_after_another(first: Trace, second: Trace) -> Trace:
    """Two traces of the same fleet, the second after the last end of the first."""
    end = max(request.arrival + request.total_seconds for request in first.requests)
    later = tuple(replace(request, arrival=request.arrival + end) for request in second.requests)
    return replace(first, requests=(*first.requests, *later))


def _collect(engine: Engine, now: float, ended: dict[int, Completion]) -> None:
    for done in engine.advance(now).completions:
        ended[int(done.request_id)] = done
