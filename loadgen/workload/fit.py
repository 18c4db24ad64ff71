"""Derives the figures of `fitted.py` from the recorded traces: `python -m loadgen.workload.fit` prints them."""

from __future__ import annotations

import os
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np

from loadgen.arrivals import Times
from loadgen.data import VARIABLE, data_folder
from loadgen.workload.distribution import (
    COARSE,
    FINE,
    AgentTraffic,
    Floats,
    Quantiles,
    RequestTraffic,
    Traffic,
)
from loadgen.workload.traces import Trace, read_trace

SOURCES = {
    "azure_conv": "Azure/AzurePublicDataset, AzureLLMInferenceTrace 2023 conversation, CC-BY-4.0",
    "mooncake_conversation": "kvcache-ai/Mooncake, FAST25 conversation trace, Apache-2.0",
    "lmcache_miniswe": "LMCache/lmcache-agent-trace, miniswe, Apache-2.0",
    "lmcache_taubench": "LMCache/lmcache-agent-trace, taubench, Apache-2.0",
}
"""Traces that can be fitted, and who published them."""

PROFILE_STEPS = 12
PROMPT_BINS = 6


def fit(name: str, trace: Trace) -> Traffic:
    """Fit the generator of one trace.

    Raises:
        ValueError: No generator is known by that name.
    """
    if name not in SOURCES:
        raise ValueError(f"nothing is fitted to {name!r}; known: {', '.join(SOURCES)}")
    if name.startswith("lmcache_"):
        return _fit_agents(SOURCES[name], trace)
    return _fit_requests(SOURCES[name], trace)


def _fit_requests(source: str, trace: Trace) -> RequestTraffic:
    times = trace.arrivals
    step_seconds = _round(float(times[-1]) / PROFILE_STEPS)
    counts = np.histogram(times, PROFILE_STEPS, range=(0, step_seconds * PROFILE_STEPS))[0]
    profile = counts / counts.mean()
    local = profile[np.minimum((times[1:] / step_seconds).astype(int), PROFILE_STEPS - 1)]
    gaps = np.diff(times) * local
    prompts = np.array([call.prompt_tokens for call in trace.calls], dtype=np.float64)
    outputs = np.array([call.output_tokens for call in trace.calls], dtype=np.float64)
    # Ties in the prompt size are broken by arrival, so that all bins hold as many calls.
    by_size = np.array_split(outputs[np.argsort(prompts, kind="stable")], PROMPT_BINS)
    return RequestTraffic(
        source=source,
        rate=_round(len(times) / float(times[-1])),
        profile=tuple(_round(share) for share in profile),
        step_seconds=step_seconds,
        gap=_table(gaps / gaps.mean(), FINE),
        prompt_tokens=_table(prompts, FINE),
        output_tokens=tuple(_table(values, COARSE) for values in by_size),
        follow_up_share=_round(_follow_up_share(trace)),
        block_tokens=trace.calls[0].block_tokens,
    )


def _fit_agents(source: str, trace: Trace) -> AgentTraffic:
    sessions: dict[int, list[int]] = {}
    for index, call in enumerate(trace.calls):
        sessions.setdefault(call.conversation, []).append(index)
    prompts = np.array([call.prompt_tokens for call in trace.calls], dtype=np.float64)
    growths = [np.diff(prompts[indices]) for indices in sessions.values()]
    gaps = [np.diff(trace.arrivals[indices]) for indices in sessions.values()]
    ends = [(trace.arrivals[indices[-1]], trace.arrivals[indices[0]]) for indices in sessions.values()]
    pauses = [max(0.0, float(start - end)) for (end, _), (_, start) in pairwise(ends)]
    steps = np.concatenate(growths)
    means = [float(growth.sum()) / max(1, int((growth > 0).sum())) for growth in growths]
    return AgentTraffic(
        source=source,
        pause_seconds=_table(pauses, COARSE),
        calls=_table([len(indices) for indices in sessions.values()], COARSE),
        gap_seconds=_table(np.concatenate(gaps), FINE),
        first_prompt_tokens=_table([prompts[indices[0]] for indices in sessions.values()], COARSE),
        growth_tokens=_table(np.maximum(means, 0.0), COARSE),
        still_share=_round(float((steps <= 0).mean())),
        output_tokens=_table([call.output_tokens for call in trace.calls], FINE),
        block_tokens=trace.calls[0].block_tokens,
    )


def _follow_up_share(trace: Trace) -> float:
    """Share of calls that share more with an earlier call than the first block, which nearly all share."""
    seen: set[int] = set()
    follow_ups = 0
    for call in trace.calls:
        follow_ups += len(call.blocks) > 1 and call.blocks[1] in seen
        seen.update(call.blocks)
    return follow_ups / len(trace.calls)


def _table(values: Times | Floats | list[int] | list[float], probabilities: tuple[float, ...]) -> Quantiles:
    return Quantiles(probabilities, tuple(_round(value) for value in np.quantile(values, probabilities)))


def _round(value: float) -> float:
    """Four significant digits: finer than the traces can tell."""
    return float(f"{value:.4g}")


def render(name: str, traffic: Traffic) -> str:
    """The figures as an entry of `FITTED`, to be pasted into `fitted.py` and formatted."""
    text = repr(traffic)
    for grid, label in ((FINE, "FINE"), (COARSE, "COARSE")):
        text = text.replace(f"probabilities={grid!r}, values=", f"{label}, ")
    return f"    {name!r}: {text},"


def main() -> int:
    """Print the fitted figures of every trace in the data folder."""
    folder = data_folder(os.environ)
    if folder is None:
        sys.stderr.write(f"no data folder: set {VARIABLE} to the folder that holds traffic/\n")
        return 1
    for name in SOURCES:
        print(render(name, fit(name, read_trace(name, Path(folder)))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
