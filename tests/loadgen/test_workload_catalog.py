from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from loadgen.data import data_folder
from loadgen.workload.catalog import NAMES, load_workload


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder with a few rows in each format."""
    traffic = tmp_path / "traffic"
    traffic.mkdir()
    with gzip.open(traffic / "azure_conv.csv.gz", "wt") as file:
        file.write("arrival_s,prompt_tokens,output_tokens\n0.5,374,44\n4.5,396,0\n")
    with gzip.open(traffic / "mooncake_conversation.jsonl.gz", "wt") as file:
        for stamp, blocks in ((0, [0, 1, 2]), (0, [0, 3]), (3000, [0, 1, 2, 4])):
            row = {
                "timestamp_ms": stamp,
                "input_tokens": 512 * len(blocks),
                "output_tokens": 5,
                "hash_ids": blocks,
            }
            file.write(json.dumps(row) + "\n")
    for name in ("miniswe", "taubench"):
        with gzip.open(traffic / f"lmcache_{name}.jsonl.gz", "wt") as file:
            for second in range(3):
                row = {
                    "arrival_s": second, "session": 7, "input_bytes": 4300, "output_bytes": 43 * second,
                    "prefix_ids": list(range(16)),
                }  # fmt: skip
                file.write(json.dumps(row) + "\n")
    return tmp_path


def test_a_recorded_workload_says_so(folder: Path) -> None:
    """With a data folder the calls are the recorded ones, and the line says who recorded them."""
    workload = load_workload("azure_conv", 2, folder=folder, seed=1)

    assert workload.is_recorded
    assert "recorded by Azure" in workload.description
    assert [0.0, 4.0] == workload.arrivals.tolist()
    assert [(374, 44), (396, 1)] == [(call.prompt_tokens, call.output_tokens) for call in workload.calls]


@pytest.mark.parametrize("name", NAMES)
def test_without_data_every_workload_is_generated_and_says_so(name: str) -> None:
    """Without a data folder, generated calls take the place of recorded ones, and the line says so."""
    workload = load_workload(name, 40, folder=None, seed=1)

    assert not workload.is_recorded
    assert "generated (no data folder), fitted to" in workload.description
    assert 40 == len(workload.calls) == len(workload.arrivals)
    assert 1.0 == pytest.approx(sum(share for _, share in workload.mix))


@pytest.mark.parametrize("name", NAMES)
def test_a_short_recording_starts_over_with_prefixes_of_its_own(name: str, folder: Path) -> None:
    """Later rounds keep the order of arrivals and share no prefix block with earlier ones."""
    once = len(load_workload(name, 1, folder=folder, seed=1).calls)
    workload = load_workload(name, 9, folder=folder, seed=1)

    assert 1 == once
    assert "times over" in workload.description
    assert np.all(np.diff(workload.arrivals) >= 0)
    size = 2 if name == "azure_conv" else 3
    early = {block for call in workload.calls[:size] for block in call.blocks}
    late = {block for call in workload.calls[size : 2 * size] for block in call.blocks}
    assert not early & late


def test_mooncake_arrivals_are_spread_within_their_recorded_step(folder: Path) -> None:
    """Requests that were recorded at one moment of a 3 s step do not all arrive at once."""
    arrivals = load_workload("mooncake_conversation", 3, folder=folder, seed=1).arrivals

    assert arrivals[0] == 0
    assert 0 < arrivals[1] < 3
    assert arrivals[1] < arrivals[2] < 6


def test_mooncake_conversations_are_told_apart_by_their_second_block(folder: Path) -> None:
    """The first block is everybody's system prompt; a follow-up belongs to the conversation that it repeats."""
    first, other, follow_up = load_workload("mooncake_conversation", 3, folder=folder, seed=1).calls

    assert first.conversation == follow_up.conversation
    assert first.conversation != other.conversation


def test_agent_bytes_become_tokens(folder: Path) -> None:
    """Bytes are divided by 4.3, and an empty output counts as a short tool call."""
    calls = load_workload("lmcache_taubench", 3, folder=folder, seed=1).calls

    assert [1000, 1000, 1000] == [call.prompt_tokens for call in calls]
    assert [24, 10, 20] == [call.output_tokens for call in calls]


def test_mistakes_are_named(folder: Path) -> None:
    """An unknown name, a count of zero and a missing file each get their own error."""
    with pytest.raises(ValueError, match="choose one of azure_conv"):
        load_workload("nothing", 5, folder=None, seed=1)
    with pytest.raises(ValueError, match="at least one"):
        load_workload("azure_conv", 0, folder=None, seed=1)
    (folder / "traffic" / "azure_conv.csv.gz").unlink()
    with pytest.raises(FileNotFoundError):
        load_workload("azure_conv", 5, folder=folder, seed=1)


def test_the_data_folder_is_the_named_one_or_the_default_or_none(tmp_path: Path) -> None:
    """`TTCA_DATA` wins, then the default folder; a named folder that is missing is an error."""
    assert tmp_path == data_folder({"TTCA_DATA": str(tmp_path)})
    assert tmp_path == data_folder({"TTCA_DATA": ""}, default=tmp_path)
    assert data_folder({}, default=tmp_path / "missing") is None
    with pytest.raises(FileNotFoundError, match="TTCA_DATA"):
        data_folder({"TTCA_DATA": str(tmp_path / "missing")})
