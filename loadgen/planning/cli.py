"""The command `ttca plan`; the command line finds it by the entry point `ttca.commands`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, NoReturn

import typer

FAILED = 1
MISUSED = 2


def plan(  # noqa: PLR0917 -- one parameter per option
    trace: Annotated[
        Path,
        typer.Option(
            help="CSV with arrival_s,prompt_tokens,output_tokens, or JSON lines with these keys; may be .gz."
        ),
    ],
    hardware: Annotated[
        str, typer.Option(help="A preset's name, or a YAML file that describes an instance.")
    ] = "Llama-3.1-70B, H100, fp8, tp 4",
    slo: Annotated[str, typer.Option(help="Limits of P99 TTFT and P99 TPOT.")] = "ttft_p99=2s,tpot_p99=80ms",
    rate: Annotated[
        float | None, typer.Option(help="Requests/s to plan for [default: the trace's busiest window].")
    ] = None,
    window: Annotated[
        float, typer.Option(min=1, help="Seconds of the window that counts as busiest.")
    ] = 300.0,
    scale: Annotated[float, typer.Option(help="Multiply the trace's rate.")] = 1.0,
    context: Annotated[int, typer.Option(min=16, help="Context of the long pool, tokens.")] = 65_536,
    thresholds: Annotated[str, typer.Option(help="Thresholds to try, tokens.")] = "2048,4096,8192,16384",
    baseline_seqs: Annotated[int, typer.Option(min=1, help="max_num_seqs of the fleet as it is today.")] = 16,
    max_num_seqs: Annotated[int, typer.Option(min=1, help="max_num_seqs of every other pool.")] = 128,
    batch_tokens: Annotated[int, typer.Option(min=16, help="max_num_batched_tokens.")] = 8_192,
    usd_per_gpu_hour: Annotated[
        float | None, typer.Option(min=0, help="Price of a GPU [default: the hardware's, if it has one].")
    ] = None,
    model: Annotated[str, typer.Option(help="Model name in the fleet file.")] = "my-model",
    seeds: Annotated[
        int, typer.Option(min=1, max=10, help="Draws of the traffic; the largest answer counts.")
    ] = 3,
    seed: Annotated[int, typer.Option(help="Same seed, same plan.")] = 1,
    processes: Annotated[int, typer.Option(min=1, help="Fleets sized side by side.")] = 2,
    out: Annotated[
        Path, typer.Option(help="Folder for plan.json, fleet.yaml and, with the extra `report`, plan.png.")
    ] = Path("out/plan"),
) -> None:
    """Size pools for your own traffic: how many GPUs two pools save, where to split, and a fleet file to start from."""
    from dataclasses import replace

    from rich.console import Console

    from loadgen.planning.advise import PlanRequest
    from loadgen.planning.catalog import find_hardware
    from loadgen.planning.command import PlanCommand, run_plan
    from loadgen.planning.slo import parse_slo
    from loadgen.planning.trace_file import busiest_rate, read_trace_file

    console = Console()
    if not console.is_terminal:
        console = Console(width=130)
    try:
        found = find_hardware(hardware)
        if usd_per_gpu_hour is not None:
            found = replace(found, usd_per_gpu_hour=usd_per_gpu_hour)
        traffic = read_trace_file(trace)
        request = PlanRequest(
            sizes=traffic.sizes,
            rate=rate if rate is not None else scale * busiest_rate(traffic, window),
            hardware=found,
            slo=parse_slo(slo),
            context_tokens=context,
            baseline_seqs=baseline_seqs,
            max_num_seqs=max_num_seqs,
            batch_tokens=batch_tokens,
            thresholds=_thresholds(thresholds),
            seeds=seeds,
            seed=seed,
        )
        is_found = run_plan(
            PlanCommand(request=request, trace=trace, model=model, processes=processes, out=out), console
        )
    except ValueError as error:
        _stop(str(error), MISUSED)
    except OSError as error:
        _stop(f"{out} cannot be written: {error}", FAILED)
    if not is_found:
        raise typer.Exit(FAILED)


def _thresholds(text: str) -> tuple[int, ...]:
    try:
        found = tuple(sorted({int(part) for part in text.split(",") if part.strip()}))
    except ValueError:
        raise ValueError(
            f"thresholds {text!r}: expected whole numbers with commas, as in 4096,8192"
        ) from None
    if not found:
        raise ValueError("thresholds: expected at least one, as in 4096,8192")
    return found


def _stop(message: str, code: int) -> NoReturn:
    typer.echo(f"error: {message}", err=True)
    raise typer.Exit(code)
