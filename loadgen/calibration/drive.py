"""Puts measured loads through the engine: a recorded run, a closed loop, a batch started at once."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from loadgen.calibration.measured import LoadPoint, MeasuredRequest
from loadgen.engine.config import EngineConfig
from loadgen.engine.core import Engine
from loadgen.engine.records import Completion, EngineRequest
from loadgen.engine.speed import Speed

AMPLE_KV_BLOCKS = 1_000_000
"""KV memory was not recorded and did not bind in any of these runs."""

ROUNDS = 10
"""Requests per user of a closed loop, the first included: they all start at once, and the means say so."""

LENGTH_SPREAD = 0.1
"""Lengths in a closed loop vary by this share, as in the benchmark: equal ones would march in step."""


@dataclass(frozen=True, slots=True)
class Times:
    """Simulated times of one request, or means of several, in seconds."""

    ttft: float
    tpot: float
    e2e: float


@dataclass(frozen=True, slots=True)
class Replay:
    """A recorded run as the engine ran it.

    Attributes:
        times: Per request, in order of arrival.
        load: Running and waiting sequences at each second that was asked for.
    """

    times: list[Times]
    load: list[tuple[int, int]]


def replay(
    config: EngineConfig, requests: Sequence[MeasuredRequest], *, engines: int, seconds: Sequence[float] = ()
) -> Replay:
    """Run recorded arrivals; with several engines each request goes to the least loaded, as vLLM's balancer does."""
    fleet = [Engine(config) for _ in range(engines)]
    done: dict[str, Completion] = {}
    load: list[tuple[int, int]] = []
    marks = sorted(
        [(second, -1) for second in seconds] + [(one.arrival, i) for i, one in enumerate(requests)]
    )
    for at, index in marks:
        for engine in fleet:
            done.update((one.request_id, one) for one in engine.advance(at).completions)
        if index < 0:
            load.append((sum(engine.running for engine in fleet), sum(engine.waiting for engine in fleet)))
            continue
        # vLLM's DPLBAsyncMPClient weighs a waiting request as four running ones.
        engine = min(fleet, key=lambda one: 4 * one.waiting + one.running)
        request = requests[index]
        engine.submit(
            EngineRequest(
                request_id=str(index),
                prompt_tokens=request.input_tokens,
                output_tokens=(request.output_tokens,),
            ),
            at,
        )
    for engine in fleet:
        done.update((one.request_id, one) for one in engine.advance(1e9).completions)
    return Replay([_times(done[str(index)]) for index in range(len(requests))], load)


def closed_loop(speed: Speed, point: LoadPoint, *, max_num_batched_tokens: int, seed: int = 0) -> Times:
    """Mean times when `point.concurrency` users begin together and send again as soon as they have an answer."""
    draw = random.Random(seed)
    engine = Engine(_config(speed, point, max_num_batched_tokens))
    wanted = point.concurrency * ROUNDS
    done: list[Completion] = []
    sent = 0
    now = 0.0
    while len(done) < wanted:
        while sent < min(len(done) + point.concurrency, wanted):
            engine.submit(_varied(point, sent, draw), now)
            sent += 1
        event = engine.next_event_seconds()
        assert event is not None  # noqa: S101 - somebody is in the engine until all have finished
        now = event
        done.extend(engine.advance(now).completions)
    times = [_times(one) for one in done]
    return Times(*(fmean(getattr(one, name) for one in times) for name in ("ttft", "tpot", "e2e")))


def static_batch(speed: Speed, point: LoadPoint) -> Times:
    """Times of a batch that starts at once and is prefilled in one iteration; TTFT is when the batch has it."""
    engine = Engine(_config(speed, point, point.concurrency * point.input_tokens))
    for number in range(point.concurrency):
        engine.submit(
            EngineRequest(
                request_id=str(number), prompt_tokens=point.input_tokens, output_tokens=(point.output_tokens,)
            ),
            0.0,
        )
    return _times(engine.advance(1e9).completions[-1])


def _config(speed: Speed, point: LoadPoint, max_num_batched_tokens: int) -> EngineConfig:
    return speed.engine_config(
        max_num_seqs=max(point.concurrency, 256),
        max_num_batched_tokens=max(max_num_batched_tokens, point.concurrency, 256),
        max_model_len=2 * (point.input_tokens + point.output_tokens),
        kv_blocks=AMPLE_KV_BLOCKS,
    )


def _varied(point: LoadPoint, number: int, draw: random.Random) -> EngineRequest:
    def around(tokens: int) -> int:
        return max(1, round(tokens * draw.uniform(1 - LENGTH_SPREAD, 1 + LENGTH_SPREAD)))

    return EngineRequest(
        request_id=str(number),
        prompt_tokens=around(point.input_tokens),
        output_tokens=(around(point.output_tokens),),
    )


def _times(done: Completion) -> Times:
    decode = done.finished_seconds - done.first_token_seconds
    return Times(
        ttft=done.first_token_seconds - done.submitted_seconds,
        tpot=decode / max(done.output_tokens - 1, 1),
        e2e=done.finished_seconds - done.submitted_seconds,
    )
