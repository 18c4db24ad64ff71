from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from loadgen.planning.trace_file import TraceError, busiest_rate, read_trace_file
from loadgen.planning.traffic import Sizes, Traffic

HEADER = "arrival_s,prompt_tokens,output_tokens\n"
ROWS = [(10.0 - 0.1 * number, 100 + number, number % 3) for number in range(60)]


def _csv(rows: Sequence[tuple[object, ...]]) -> str:
    return HEADER + "".join(",".join(map(str, row)) + "\n" for row in rows)


def test_csv_is_read_in_order_of_arrival(tmp_path: Path) -> None:
    """Rows may be unordered; time starts at the first arrival, and an empty answer counts as one token."""
    path = tmp_path / "trace.csv"
    path.write_text(_csv(ROWS))
    traffic = read_trace_file(path)
    assert 0.0 == traffic.arrivals[0]
    assert pytest.approx(5.9) == traffic.arrivals[-1]
    assert (159, 100) == (traffic.sizes.prompt_tokens[0], traffic.sizes.prompt_tokens[-1])
    assert 1 == traffic.sizes.output_tokens.min()


def test_gzipped_json_lines_say_the_same(tmp_path: Path) -> None:
    """Both forms give the same traffic."""
    plain, zipped = tmp_path / "trace.csv", tmp_path / "trace.jsonl.gz"
    plain.write_text(_csv(ROWS))
    keys = HEADER.strip().split(",")
    with gzip.open(zipped, "wt") as lines:
        lines.writelines(json.dumps(dict(zip(keys, row, strict=True))) + "\n" for row in ROWS)
    one, two = read_trace_file(plain), read_trace_file(zipped)
    assert one.arrivals.tolist() == two.arrivals.tolist()
    assert one.sizes.total_tokens.tolist() == two.sizes.total_tokens.tolist()


def test_bad_rows_are_named_with_their_lines(tmp_path: Path) -> None:
    """Every mistake names line, column and what was expected; after five the rest is counted."""
    bad = [("soon", 1, 1), (1, 0, 1), (1, 2.5, 1), (1, 1, -1), (-1, 1, 1), (1, "", 1), ("nan", 1, 1)]
    path = tmp_path / "trace.csv"
    path.write_text(_csv([*ROWS, *bad]))
    with pytest.raises(TraceError) as caught:
        read_trace_file(path)
    lines = str(caught.value).splitlines()
    assert f"{path}:62: arrival_s: got 'soon', expected a number" == lines[0]
    assert f"{path}:63: prompt_tokens: got '0', expected a whole number of at least 1" == lines[1]
    assert f"{path}:64: prompt_tokens: got '2.5', expected a whole number of at least 1" == lines[2]
    assert f"{path}:65: output_tokens: got '-1', expected a whole number of at least 0" == lines[3]
    assert f"{path}:66: arrival_s: got -1, expected seconds of at least 0" == lines[4]
    assert "and 2 more lines" == lines[5]


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        (
            "trace.csv",
            "arrival_s,prompt\n1,2\n",
            "trace.csv:1: the header lacks prompt_tokens, output_tokens",
        ),
        ("trace.csv", _csv(ROWS[:3]), "3 requests; at least 50 are needed"),
        ("trace.jsonl", "{\n", "trace.jsonl:1: not JSON"),
        ("trace.jsonl", "[1]\n", "trace.jsonl:1: not a JSON object"),
        ("trace.csv.gz", "not zipped", "cannot be read"),
    ],
)
def test_files_that_are_no_trace_are_refused(tmp_path: Path, name: str, text: str, told: str) -> None:
    """The message says what is wrong with the file."""
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(TraceError) as caught:
        read_trace_file(path)
    assert told in str(caught.value)


def test_missing_file_is_refused(tmp_path: Path) -> None:
    """A wrong path is told with the form that was expected."""
    with pytest.raises(TraceError, match="cannot be read"):
        read_trace_file(tmp_path / "nowhere.csv")


def test_busiest_window_decides_the_rate() -> None:
    """Ten quiet seconds and ten busy ones: the busy ones count."""
    arrivals = np.concatenate([np.arange(0.0, 10.0, 1.0), np.arange(10.0, 20.0, 0.1)])
    ones = np.ones(len(arrivals), dtype=np.int64)
    traffic = Traffic(arrivals, Sizes(ones, ones))
    assert pytest.approx(10.0, rel=0.02) == busiest_rate(traffic, 5.0)
    assert pytest.approx(110 / 19.9) == busiest_rate(traffic, 100.0)


def test_trace_of_one_moment_has_no_rate() -> None:
    """Without a time between arrivals the rate must be given."""
    ones = np.ones(60, dtype=np.int64)
    with pytest.raises(ValueError, match="give --rate"):
        busiest_rate(Traffic(np.zeros(60), Sizes(ones, ones)), 10.0)
