"""Reads an operator's own trace: arrivals and token counts as CSV or JSON lines, gzipped or not."""

from __future__ import annotations

import csv
import gzip
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from loadgen.planning.traffic import Sizes, Traffic

COLUMNS = ("arrival_s", "prompt_tokens", "output_tokens")
FORM = "a header and rows of arrival_s,prompt_tokens,output_tokens (CSV), or one JSON object with these keys per line"
LEAST_ROWS = 50
_MOST_TOLD = 5


class TraceError(ValueError):
    """The trace cannot be used; the text names the file, the lines and what was expected."""


def read_trace_file(path: Path) -> Traffic:
    """Read a trace whole; rows may come in any order, and an answer of 0 tokens counts as one of 1.

    Raises:
        TraceError: It cannot be read, or rows are wrong: each with its line, the first five of them.
    """
    read = _json_rows if ".jsonl" in path.suffixes else _csv_rows
    rows: list[tuple[float, int, int]] = []
    problems: list[str] = []
    try:
        for line, row in read(path):
            try:
                rows.append(_checked(row))
            except ValueError as error:
                problems.append(f"{path}:{line}: {error}")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise TraceError(f"{path} cannot be read: {error}; expected {FORM}") from error
    if problems:
        more = f"\nand {len(problems) - _MOST_TOLD} more lines" if len(problems) > _MOST_TOLD else ""
        raise TraceError("\n".join(problems[:_MOST_TOLD]) + more)
    if len(rows) < LEAST_ROWS:
        raise TraceError(f"{path}: {len(rows)} requests; at least {LEAST_ROWS} are needed to size a fleet")
    rows.sort()
    return Traffic(
        np.array([row[0] for row in rows]) - rows[0][0],
        Sizes(
            np.array([row[1] for row in rows], dtype=np.int64),
            np.array([max(1, row[2]) for row in rows], dtype=np.int64),
        ),
    )


def busiest_rate(traffic: Traffic, window_seconds: float) -> float:
    """Requests per second of the busiest window; of the whole trace when it is shorter than that.

    Raises:
        ValueError: All requests came at the same moment.
    """
    span = float(traffic.arrivals[-1])
    if span <= 0:
        raise ValueError("all requests have the same arrival_s, so the trace has no rate: give --rate")
    if span <= window_seconds:
        return len(traffic) / span
    last = np.searchsorted(traffic.arrivals, traffic.arrivals + window_seconds)
    return float((last - np.arange(len(traffic))).max()) / window_seconds


def _csv_rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    with _opened(path) as lines:
        reader = csv.DictReader(lines)
        missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
        if missing:
            raise TraceError(f"{path}:1: the header lacks {', '.join(missing)}; expected {FORM}")
        for row in reader:
            yield reader.line_num, row


def _json_rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    with _opened(path) as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                row = {"": f"not JSON: {error}"}
            yield number, row if isinstance(row, dict) else {"": "not a JSON object"}


def _opened(path: Path) -> Any:  # noqa: ANN401 - text files of two classes
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8", newline="")
    return path.open(encoding="utf-8", newline="")


def _checked(row: Mapping[str, Any]) -> tuple[float, int, int]:
    if "" in row:
        raise ValueError(str(row[""]))
    arrival = _number(row, "arrival_s")
    if not 0 <= arrival < math.inf:
        raise ValueError(f"arrival_s: got {arrival:g}, expected seconds of at least 0")
    return arrival, _whole(row, "prompt_tokens", 1), _whole(row, "output_tokens", 0)


def _whole(row: Mapping[str, Any], name: str, least: int) -> int:
    value = _number(row, name)
    if value != math.floor(value) or value < least:
        raise ValueError(f"{name}: got {row[name]!r}, expected a whole number of at least {least}")
    return int(value)


def _number(row: Mapping[str, Any], name: str) -> float:
    value = row.get(name)
    try:
        number = math.nan if value is None or isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{name}: got {value!r}, expected a number")
    return number
