"""Draws calls and their arrivals from fitted figures, for machines without the recorded traces."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from loadgen.arrivals import warp
from loadgen.workload.calls import Call
from loadgen.workload.distribution import AgentTraffic, Floats, Quantiles, RequestTraffic, Traffic
from loadgen.workload.traces import Trace

RECENT_CONVERSATIONS = 256
"""A follow-up continues one of this many latest conversations (in the Mooncake trace: the last minutes)."""

_SYSTEM_BLOCK = 0

_BLOCKS_PER_SESSION = 1_000_000
# More than a session can fill, so that two sessions never share a block: in these traces they do not.


def generate(traffic: Traffic, count: int, rng: np.random.Generator) -> Trace:
    """Draw `count` calls with their arrival times, the first at 0.

    Raises:
        ValueError: `count` is not positive.
    """
    if count < 1:
        raise ValueError(f"a workload needs at least one request, not {count}")
    if isinstance(traffic, AgentTraffic):
        return _generate_sessions(traffic, count, rng)
    return _generate_requests(traffic, count, rng)


def _generate_requests(traffic: RequestTraffic, count: int, rng: np.random.Generator) -> Trace:
    expected = np.cumsum(_stratified(traffic.gap, count, rng) / traffic.gap.mean())
    rates = np.array(traffic.profile) * traffic.rate
    arrivals = warp(expected - expected[0], rates, traffic.step_seconds)
    rank = _uniform(count, rng)
    prompts = traffic.prompt_tokens.at(rank)
    bins = np.minimum((rank * len(traffic.output_tokens)).astype(int), len(traffic.output_tokens) - 1)
    outputs = np.empty(count)
    for index, table in enumerate(traffic.output_tokens):
        chosen = bins == index
        outputs[chosen] = _stratified(table, int(chosen.sum()), rng)
    if traffic.block_tokens:
        calls = tuple(_with_prefixes(traffic, _whole(prompts), _whole(outputs), rng))
    else:
        calls = tuple(
            Call(prompt_tokens=prompt, output_tokens=output, conversation=index)
            for index, (prompt, output) in enumerate(zip(_whole(prompts), _whole(outputs), strict=True))
        )
    return Trace(arrivals, calls)


def _with_prefixes(
    traffic: RequestTraffic, prompts: list[int], outputs: list[int], rng: np.random.Generator
) -> Iterator[Call]:
    """Give prompts their shared blocks: a follow-up repeats the longest recent prompt that it can contain."""
    recent: list[Call] = []
    next_block = _SYSTEM_BLOCK + 1
    for index, (prompt, output) in enumerate(zip(prompts, outputs, strict=True)):
        size = prompt // traffic.block_tokens
        known: tuple[int, ...] = (_SYSTEM_BLOCK,)
        conversation = index
        if rng.random() < traffic.follow_up_share:
            fitting = [call for call in recent if len(known) < len(call.blocks) <= size]
            if fitting:
                earlier = max(fitting, key=lambda call: len(call.blocks))
                recent.remove(earlier)
                known, conversation = earlier.blocks, earlier.conversation
        known = known[:size]
        fresh = range(next_block, next_block + size - len(known))
        next_block += len(fresh)
        call = Call(
            prompt_tokens=prompt,
            output_tokens=output,
            conversation=conversation,
            blocks=(*known, *fresh),
            block_tokens=traffic.block_tokens,
        )
        recent.append(call)
        del recent[:-RECENT_CONVERSATIONS]
        yield call


def _generate_sessions(traffic: AgentTraffic, count: int, rng: np.random.Generator) -> Trace:
    arrivals: list[float] = []
    calls: list[Call] = []
    moment = 0.0
    session = 0
    while len(calls) < count:
        for call, gap in _session(traffic, session, rng):
            arrivals.append(moment)
            calls.append(call)
            moment += gap
        session += 1
    return Trace(np.array(arrivals[:count]), tuple(calls[:count]))


def _session(traffic: AgentTraffic, session: int, rng: np.random.Generator) -> Iterator[tuple[Call, float]]:
    """The calls of one session, each with the seconds until the next call of this session or the next session."""
    length = max(1, round(float(traffic.calls.at(rng.random(1))[0])))
    gaps = traffic.gap_seconds.at(rng.random(length))
    gaps[-1] = traffic.pause_seconds.at(rng.random(1))[0]
    outputs = _whole(traffic.output_tokens.at(rng.random(length)))
    prompt = float(traffic.first_prompt_tokens.at(rng.random(1))[0])
    mean_growth = float(traffic.growth_tokens.at(rng.random(1))[0])
    first_block = session * _BLOCKS_PER_SESSION
    for output, gap in zip(outputs, gaps, strict=True):
        tokens = max(1, round(prompt))
        call = Call(
            prompt_tokens=tokens,
            output_tokens=output,
            conversation=session,
            blocks=tuple(range(first_block, first_block + tokens // traffic.block_tokens)),
            block_tokens=traffic.block_tokens,
        )
        yield call, float(gap)
        if mean_growth > 0 and rng.random() >= traffic.still_share:
            prompt += rng.exponential(mean_growth)


def _stratified(table: Quantiles, count: int, rng: np.random.Generator) -> Floats:
    return table.at(_uniform(count, rng))


def _uniform(count: int, rng: np.random.Generator) -> Floats:
    """Uniform draws, one from each of `count` equal strata, shuffled: short runs show the whole distribution."""
    return np.asarray(
        rng.permutation((np.arange(count) + rng.random(count)) / max(1, count)), dtype=np.float64
    )


def _whole(values: Floats) -> list[int]:
    return [max(1, round(float(value))) for value in values]
