"""The command `python -m loadgen simulate`; it imports what it needs itself, so that `--help` does not wait."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

MISUSED = 2


def simulate(  # noqa: PLR0917 -- one parameter per option
    questions: Annotated[str, typer.Option(help="Set of questions: zeroeval or mmlu_pro.")] = "zeroeval",
    arms: Annotated[str, typer.Option(help="What is compared, with commas [default: all].")] = "",
    knobs: Annotated[str, typer.Option(help="Values of the arms' knob [default: all of each arm].")] = "",
    rate: Annotated[float, typer.Option(help="Mean arrivals per second.")] = 35.0,
    pattern: Annotated[Literal["poisson", "square"], typer.Option(help="How they arrive.")] = "poisson",
    requests: Annotated[int, typer.Option(min=10, help="Requests of each run.")] = 4000,
    instances: Annotated[int, typer.Option(min=1, help="Instances of each of the five models.")] = 2,
    seed: Annotated[int, typer.Option(help="Same seed, same figures.")] = 1,
    processes: Annotated[int, typer.Option(min=1, help="Runs at once.")] = 2,
    out: Annotated[Path, typer.Option(help="Folder for figures and plot.")] = Path("out/virtual"),
) -> None:
    """Compare routing policies in virtual time, on questions whose answers were recorded as right or wrong."""
    import os

    from rich.console import Console

    from loadgen.virtual.arms import ARMS
    from loadgen.virtual.command import SimulateOptions
    from loadgen.virtual.command import simulate as run_simulation
    from loadgen.virtual.scenario import Scenario

    console = Console()
    if not console.is_terminal:
        console = Console(width=150)
    try:
        options = SimulateOptions(
            questions=questions,
            arms=[name.strip() for name in arms.split(",") if name.strip()] or list(ARMS),
            knobs=[float(value) for value in knobs.split(",") if value.strip()],
            scenario=Scenario(rate=rate, requests=requests, seed=seed, pattern=pattern, instances=instances),
            processes=processes,
            out=out,
        )
        run_simulation(options, os.environ, console)
    except (ValueError, FileNotFoundError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(MISUSED) from error
