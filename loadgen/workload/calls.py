"""The type that traces and generators hand on: a workload, which is calls with their arrival times."""

from __future__ import annotations

from dataclasses import dataclass

from loadgen.arrivals import Times


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """Sizes and shared prefix of one model call.

    Attributes:
        prompt_tokens: At least 1.
        output_tokens: At least 1.
        conversation: Calls of one conversation share a kind of text.
        blocks: Leading blocks of the prompt; equal leading ids mean equal leading text.
        block_tokens: Tokens per block; 0 when there are no blocks.
    """

    prompt_tokens: int
    output_tokens: int
    conversation: int
    blocks: tuple[int, ...] = ()
    block_tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """Calls, and when they arrive when time is not compressed.

    Attributes:
        name: Name in the catalogue.
        description: One line: recorded or fitted, and from what.
        is_recorded: True when the calls come from a recorded trace.
        arrivals: Seconds, ascending, the first at 0; as many as `calls`.
        calls: In order of arrival.
        mix: Share of calls by kind of text; sums to 1.
    """

    name: str
    description: str
    is_recorded: bool
    arrivals: Times
    calls: tuple[Call, ...]
    mix: tuple[tuple[str, float], ...]
