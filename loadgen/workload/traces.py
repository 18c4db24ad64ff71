"""Reads recorded traffic from the data folder into calls; knows the files' columns and their quirks."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from loadgen.arrivals import Times
from loadgen.workload.calls import Call

AGENT_BYTES_PER_TOKEN = 4.3
"""The agent traces count bytes; 4.1 to 4.6 of them make a token in these texts."""

TOOL_CALL_TOKENS = 24
"""Assumed output of a call whose recorded text is empty: it answered with a tool call, which was not kept."""

MOONCAKE_STEP_SECONDS = 3.0
"""Timestamps were recorded in steps of this size."""

_MOONCAKE_BLOCK_TOKENS = 512
_AGENT_BLOCK_TOKENS = round(256 / AGENT_BYTES_PER_TOKEN)


@dataclass(frozen=True, slots=True)
class Trace:
    """A recorded trace: arrival seconds (ascending, the first at 0) and as many calls."""

    arrivals: Times
    calls: tuple[Call, ...]


def read_trace(name: str, folder: Path) -> Trace:
    """Read one trace whole.

    Raises:
        ValueError: No such trace.
        FileNotFoundError: The folder lacks its file.
    """
    match name:
        case "azure_conv":
            return _azure(folder / "traffic" / "azure_conv.csv.gz")
        case "mooncake_conversation":
            return _mooncake(folder / "traffic" / "mooncake_conversation.jsonl.gz")
        case "lmcache_miniswe" | "lmcache_taubench":
            return _agents(folder / "traffic" / f"{name}.jsonl.gz")
        case _:
            raise ValueError(f"there is no trace called {name!r}")


def _azure(path: Path) -> Trace:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as lines:
        rows = [
            (float(row["arrival_s"]), int(row["prompt_tokens"]), int(row["output_tokens"]))
            for row in csv.DictReader(lines)
        ]
    arrivals = np.array([row[0] for row in rows])
    calls = tuple(
        Call(prompt_tokens=max(1, prompt), output_tokens=max(1, output), conversation=index)
        for index, (_, prompt, output) in enumerate(rows)
    )
    return Trace(arrivals - arrivals[0], calls)


def _mooncake(path: Path) -> Trace:
    rows = list(_json_lines(path))
    steps = np.array([row["timestamp_ms"] for row in rows]) / 1000
    calls = tuple(
        Call(
            prompt_tokens=max(1, row["input_tokens"]),
            output_tokens=max(1, row["output_tokens"]),
            conversation=_conversation(row["hash_ids"], index),
            blocks=tuple(row["hash_ids"]),
            block_tokens=_MOONCAKE_BLOCK_TOKENS,
        )
        for index, row in enumerate(rows)
    )
    return Trace(_spread_within_steps(steps), calls)


def _conversation(hash_ids: list[int], index: int) -> int:
    # Nearly all requests share block 0, the system prompt; the second block tells conversations apart.
    return hash_ids[1] if len(hash_ids) > 1 else -1 - index


def _spread_within_steps(steps: Times) -> Times:
    """Place each request uniformly within its recorded step (same seed always: the trace stays one trace)."""
    offsets = np.random.default_rng(0).uniform(0, MOONCAKE_STEP_SECONDS, len(steps))
    spread: Times = np.sort(steps + offsets)
    spread -= spread[0]
    return spread


def _agents(path: Path) -> Trace:
    rows = list(_json_lines(path))
    arrivals = np.array([row["arrival_s"] for row in rows])
    calls = tuple(
        Call(
            prompt_tokens=max(1, round(row["input_bytes"] / AGENT_BYTES_PER_TOKEN)),
            output_tokens=round(row["output_bytes"] / AGENT_BYTES_PER_TOKEN) or TOOL_CALL_TOKENS,
            conversation=row["session"],
            blocks=tuple(row["prefix_ids"]),
            block_tokens=_AGENT_BLOCK_TOKENS,
        )
        for row in rows
    )
    return Trace(arrivals - arrivals[0], calls)


def _json_lines(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)
