from __future__ import annotations

import gzip
from pathlib import Path

import pytest
import typer

from loadgen.calibration.__main__ import main, studies
from loadgen.calibration.table import BEGIN, END, write_between_markers
from loadgen.data import VARIABLE


def write(folder: Path, name: str, text: str) -> None:
    """Put a table where the measurements are looked for."""
    (folder / "latency").mkdir(exist_ok=True)
    (folder / "latency" / f"{name}.csv.gz").write_bytes(gzip.compress(text.encode()))


def test_without_data_the_command_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder without measurements ends with status 2 and the name of the variable, not a traceback."""
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    with pytest.raises(typer.Exit) as caught:
        main(tmp_path / "document.md")
    assert caught.value.exit_code == 2
    assert VARIABLE in capsys.readouterr().out


def test_studies_group_rows_by_engine(tmp_path: Path) -> None:
    """One study per run, per closed-loop engine with enough loads, and per uncapped static engine."""
    write(
        tmp_path,
        "llmservingsim_requests",
        "gpu,model,tp,dp,max_num_seqs,input_tokens,output_tokens,arrival_s,queued_s,scheduled_s,first_token_s,last_token_s\n"
        "G,M,1,1,8,10,5,0.0,0.0,0.0,0.1,0.5\n",
    )
    write(tmp_path, "llmservingsim_timeseries", "gpu,model,t_s,running,waiting\nG,M,1,1,0\n")
    head = "model,gpu_system,backend,mode,precision,tp,attention_dp,isl,osl,concurrency,ttft_ms,tpot_ms\n"
    loads = "".join(f"org/X,h100_sxm,vllm,agg,fp8,4,1,1024,256,{users},80,12\n" for users in range(1, 13))
    other = "org/X,h100_sxm,trtllm,agg,fp8,4,1,1024,256,4,80,12\norg/Y,h100_sxm,vllm,agg,fp8,4,1,1024,256,4,80,12\n"
    write(tmp_path, "aiconfigurator_silicon", head + loads + other)
    head = "model,hardware,prompt_tokens,batch_size,output_tokens,prompt_ms,token_ms,tensor_parallel\n"
    batches = "".join(f"l,a100-80gb,512,{size},128,100,40,4\n" for size in range(1, 9))
    write(tmp_path, "splitwise_perf_model", head + batches + batches.replace("80gb", "80gb-pcap"))
    assert ["M, G, tp 1, dp 1", "X, H100, fp8, tp 4", "l, A100, tp 4"] == [
        label for _, label, _ in studies(tmp_path)
    ]


def test_the_table_replaces_what_stood_between_the_markers(tmp_path: Path) -> None:
    """The rest of the document stays as it is."""
    document = tmp_path / "document.md"
    document.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n", encoding="utf-8")
    write_between_markers(document, "new")
    assert f"before\n{BEGIN}\n\nnew\n\n{END}\nafter\n" == document.read_text(encoding="utf-8")


def test_a_document_without_markers_is_left_alone(tmp_path: Path) -> None:
    """It is an error, and nothing is written."""
    document = tmp_path / "document.md"
    document.write_text("text\n", encoding="utf-8")
    with pytest.raises(ValueError, match="lacks the lines"):
        write_between_markers(document, "new")
    assert document.read_text(encoding="utf-8") == "text\n"
