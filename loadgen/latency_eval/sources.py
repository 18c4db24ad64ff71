"""Where traces come from: published measurements, read from the data folder."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from loadgen.calibration.measured import read_rows
from loadgen.latency_eval.trace import A100_8B, A100_32B, ANY, TimedRequest, Trace, fleet_of


def llmservingsim_traces(folder: Path) -> list[Trace]:
    """300 ShareGPT requests each on three engines; data-parallel engines are taken for one with all their slots."""
    rows_by_model: dict[str, list[dict[str, str]]] = defaultdict(list)
    for row in read_rows(folder, "llmservingsim_requests"):
        rows_by_model[row["model"]].append(row)
    traces = []
    for model, rows in sorted(rows_by_model.items()):
        slots = int(rows[0]["max_num_seqs"]) * int(rows[0]["dp"])
        fleet = fleet_of(A100_32B if "32B" in model else A100_8B, 1, slots)
        requests = [
            TimedRequest(
                address="10.0.0.1:8000",
                arrival=float(row["arrival_s"]),
                prompt_tokens=int(row["input_tokens"]),
                output_tokens=int(row["output_tokens"]),
                ttft_seconds=float(row["first_token_s"]) - float(row["arrival_s"]),
                total_seconds=float(row["last_token_s"]) - float(row["arrival_s"]),
            )
            for row in rows
        ]
        traces.append(Trace(name=model, requests=_in_order(requests), fleet=fleet))
    return traces


AIBRIX_REPLICAS = 8
AIBRIX_SLOTS = 256


def aibrix_traces(folder: Path, *, apart_seconds: float = 300.0) -> list[Trace]:
    """One trace per router setup of aibrix's benchmark: its runs one after another, lowest load first.

    Args:
        folder: Data folder.
        apart_seconds: Idle time between two runs, long enough for the slowest answer.
    """
    runs: dict[str, dict[float, list[dict[str, str]]]] = defaultdict(lambda: defaultdict(list))
    for row in read_rows(folder, "aibrix_vllm_requests"):
        runs[row["setup"]][float(row["qps"])].append(row)
    traces = []
    for setup, by_load in sorted(runs.items()):
        requests = [
            TimedRequest(
                address=ANY,
                arrival=position * apart_seconds + float(row["launch_s"]),
                prompt_tokens=int(row["prompt_tokens"]),
                output_tokens=int(row["output_tokens"]),
                ttft_seconds=float(row["ttft_s"]),
                total_seconds=float(row["finish_s"]) - float(row["launch_s"]),
            )
            for position, (_, rows) in enumerate(sorted(by_load.items()))
            for row in rows
        ]
        fleet = fleet_of(A100_8B, AIBRIX_REPLICAS, AIBRIX_SLOTS)
        traces.append(Trace(name=setup, requests=_in_order(requests), fleet=fleet))
    return traces


def _in_order(requests: list[TimedRequest]) -> tuple[TimedRequest, ...]:
    return tuple(sorted(requests, key=lambda request: request.arrival))
