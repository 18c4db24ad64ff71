"""Reads the measurements; absent files are an error with the way to mend it."""

from __future__ import annotations

import csv
import gzip
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean


@dataclass(frozen=True, slots=True)
class MeasuredRequest:
    """One request of a recorded run; times in seconds since the run's first arrival."""

    input_tokens: int
    output_tokens: int
    arrival: float
    first_token: float
    last_token: float


@dataclass(frozen=True, slots=True)
class MeasuredSecond:
    """The engine's load in one second of a recorded run."""

    second: int
    running: int
    waiting: int


@dataclass(frozen=True, slots=True)
class RecordedRun:
    """Requests in order of arrival, and the load they made.

    Attributes:
        engines: Data-parallel engines that shared the requests.
    """

    label: str
    engines: int
    max_num_seqs: int
    requests: tuple[MeasuredRequest, ...]
    seconds: tuple[MeasuredSecond, ...]


@dataclass(frozen=True, slots=True)
class LoadPoint:
    """Mean times at one length and load.

    Attributes:
        concurrency: Requests in the engine at once.
        tpot_seconds: Mean time between output tokens.
    """

    input_tokens: int
    output_tokens: int
    concurrency: int
    ttft_seconds: float
    tpot_seconds: float


def read_rows(folder: Path, name: str) -> list[dict[str, str]]:
    """The rows of `latency/<name>.csv.gz`.

    Raises:
        FileNotFoundError: When it is not there.
    """
    path = folder / "latency" / f"{name}.csv.gz"
    with gzip.open(path, "rt", encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def recorded_runs(folder: Path) -> list[RecordedRun]:
    """The ShareGPT runs of LLMServingSim's bench, one per model."""
    requests: dict[str, list[dict[str, str]]] = defaultdict(list)
    for row in read_rows(folder, "llmservingsim_requests"):
        requests[row["model"]].append(row)
    seconds: dict[str, list[MeasuredSecond]] = defaultdict(list)
    for row in read_rows(folder, "llmservingsim_timeseries"):
        seconds[row["model"]].append(
            MeasuredSecond(int(row["t_s"]), int(row["running"]), int(row["waiting"]))
        )
    return [
        RecordedRun(
            label=f"{model}, {rows[0]['gpu']}, tp {rows[0]['tp']}, dp {rows[0]['dp']}",
            engines=int(rows[0]["dp"]),
            max_num_seqs=int(rows[0]["max_num_seqs"]),
            requests=tuple(
                MeasuredRequest(
                    int(row["input_tokens"]),
                    int(row["output_tokens"]),
                    float(row["arrival_s"]),
                    float(row["first_token_s"]),
                    float(row["last_token_s"]),
                )
                for row in sorted(rows, key=lambda row: float(row["arrival_s"]))
            ),
            seconds=tuple(seconds[model]),
        )
        for model, rows in sorted(requests.items())
    ]


def closed_loop_points(folder: Path, *, least: int) -> dict[str, list[LoadPoint]]:
    """The aggregated vLLM rows of aiconfigurator with at least `least` distinct loads, by model, GPU and split.

    Rows of one load on other dates or builds are averaged; attention data parallelism is left out.
    """
    cells: dict[str, dict[tuple[int, int, int], list[tuple[float, float]]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for row in read_rows(folder, "aiconfigurator_silicon"):
        if (
            (row["mode"], row["backend"]) != ("agg", "vllm")
            or not row["concurrency"]
            or row["attention_dp"] != "1"
        ):
            continue
        model = row["model"].rpartition("/")[2]
        group = f"{model}, {row['gpu_system'].split('_')[0].upper()}, {row['precision']}, tp {row['tp']}"
        load = (int(row["isl"]), int(row["osl"]), int(row["concurrency"]))
        cells[group][load].append((float(row["ttft_ms"]) / 1e3, float(row["tpot_ms"]) / 1e3))
    return _averaged(cells, least)


def static_batch_points(folder: Path) -> dict[str, list[LoadPoint]]:
    """Splitwise's uniform batches that were started at once and left to run, without power cap, 128 tokens out."""
    cells: dict[str, dict[tuple[int, int, int], list[tuple[float, float]]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for row in read_rows(folder, "splitwise_perf_model"):
        # Longer outputs ended early in many rows (their e2e does not grow with the length), so only 128 is kept.
        if row["hardware"].endswith("-pcap") or row["output_tokens"] != "128":
            continue
        group = f"{row['model']}, {row['hardware'].split('-')[0].upper()}, tp {row['tensor_parallel']}"
        load = (int(row["prompt_tokens"]), int(row["output_tokens"]), int(row["batch_size"]))
        cells[group][load].append((float(row["prompt_ms"]) / 1e3, float(row["token_ms"]) / 1e3))
    return _averaged(cells, 8)


def _averaged(
    cells: dict[str, dict[tuple[int, int, int], list[tuple[float, float]]]], least: int
) -> dict[str, list[LoadPoint]]:
    return {
        group: [
            LoadPoint(*load, fmean(ttft for ttft, _ in times), fmean(tpot for _, tpot in times))
            for load, times in sorted(loads.items())
        ]
        for group, loads in sorted(cells.items())
        if len(loads) >= least
    }
