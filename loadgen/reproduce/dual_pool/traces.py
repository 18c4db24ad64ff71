"""The token counts of the study: the recorded Azure trace, the one that the papers describe, and LMSYS-shaped ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np

from loadgen.planning.traffic import Floats, Ints, Sizes
from loadgen.workload.catalog import load_workload
from loadgen.workload.distribution import Quantiles

AZURE_REQUESTS = 19_366
"""Requests of the recording: taken whole, and as many are generated without it."""

LMSYS_REQUESTS = 20_000

TAILED = Quantiles((0.0, 0.8, 0.92, 1.0), (16.0, 2_048.0, 8_192.0, 65_536.0))
"""What arXiv 2604.09613 says of the Azure trace: 80 % within 2K tokens, 92 % within 8K, up to 64K."""

LMSYS_TOTAL = Quantiles(
    (0.0, 0.131, 0.382, 0.638, 0.831, 0.948, 0.984, 0.9965, 1.0),
    (8.0, 64.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0, 8192.0, 65_536.0),
)
"""Prompt and output tokens together: `lmsys_cdf.json` of the authors' fleet simulator."""

LMSYS_MEAN_OUTPUT = 214.5
LMSYS_OUTPUT_SIGMA = 0.9
"""Published mean, and an assumed spread of the logarithm about that of the Azure trace (0.86)."""

_FIXED_POINT_STEPS = 12


def azure(data: Path | None, seed: int) -> Sizes:
    """The recorded conversation trace; drawn from figures fitted to it without the data folder."""
    calls = load_workload("azure_conv", AZURE_REQUESTS, folder=data, seed=seed).calls
    return Sizes(
        np.array([call.prompt_tokens for call in calls], dtype=np.int64),
        np.array([call.output_tokens for call in calls], dtype=np.int64),
    )


def azure_tailed(data: Path | None, seed: int) -> Sizes:
    """The Azure trace with its totals stretched, rank by rank, to the published quantiles; outputs stay."""
    recorded = azure(data, seed)
    totals = recorded.total_tokens
    rank = np.empty(len(totals))
    rank[np.argsort(totals, kind="stable")] = (np.arange(len(totals)) + 0.5) / len(totals)
    return _with_total(_log_at(TAILED, rank), recorded.output_tokens)


def lmsys(data: Path | None, seed: int) -> Sizes:  # noqa: ARG001 - the texts are not here, their shape is
    """Lengths with the published distribution of totals and mean output; a dialogue's history is its prompt."""
    rng = np.random.default_rng((seed, 1))
    rank = rng.permutation((np.arange(LMSYS_REQUESTS) + rng.random(LMSYS_REQUESTS)) / LMSYS_REQUESTS)
    totals = _log_at(LMSYS_TOTAL, rank)
    lengths = LMSYS_MEAN_OUTPUT * np.exp(LMSYS_OUTPUT_SIGMA * rng.standard_normal(LMSYS_REQUESTS))
    for _ in range(_FIXED_POINT_STEPS):
        # An answer is shorter than prompt and answer together; what that cuts off, the others make up for.
        lengths *= LMSYS_MEAN_OUTPUT / np.minimum(lengths, totals).mean()
    return _with_total(totals, np.maximum(1, np.rint(lengths)).astype(np.int64))


def _log_at(table: Quantiles, rank: Floats) -> Floats:
    """Values of a table whose entries are powers of two apart: between them lengths are log-uniform."""
    result: Floats = np.exp(np.interp(rank, table.probabilities, np.log(table.values)))
    return result


def _with_total(totals: Floats, outputs: Ints) -> Sizes:
    whole = np.maximum(2, np.floor(totals)).astype(np.int64)
    kept = np.minimum(outputs, whole - 1)
    return Sizes(whole - kept, kept)


TRACES: Mapping[str, Callable[[Path | None, int], Sizes]] = MappingProxyType(
    {"azure": azure, "azure_tailed": azure_tailed, "lmsys": lmsys}
)
"""By key; the second is what the papers say of the first."""

TITLES = MappingProxyType(
    {"azure": "Azure, recorded", "azure_tailed": "Azure, tail as published", "lmsys": "LMSYS-shaped"}
)
