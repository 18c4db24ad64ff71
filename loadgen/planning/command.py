"""What `ttca plan` does once its arguments are understood."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from loadgen.planning.advise import PlanRequest, advise, trials
from loadgen.planning.fleet_file import fleet_file
from loadgen.planning.show import as_document, draw, print_plan


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanCommand:
    """What was asked for.

    Attributes:
        request: What to plan for.
        trace: Where the requests come from.
        model: Model name in the fleet file.
        processes: Fleets sized side by side.
        out: Folder for what is written.
    """

    request: PlanRequest
    trace: Path
    model: str
    processes: int
    out: Path

    def __post_init__(self) -> None:
        """Refuse a model name before hours of virtual time are spent.

        Raises:
            ValueError: It is empty or has spaces.
        """
        if self.model.split() != [self.model]:
            raise ValueError(f"model {self.model!r}: expected a name without spaces")


def run_plan(command: PlanCommand, console: Console) -> bool:
    """Plan, print and write; False when no fleet keeps the SLO.

    Raises:
        SettingsError: The model name cannot stand in a fleet file.
        OSError: The folder cannot be written.
    """
    request = command.request
    totals = request.sizes.total_tokens
    console.print(
        f"{command.trace}: {len(request.sizes):,} requests, mean {request.sizes.prompt_tokens.mean():.0f} prompt and "
        f"{request.sizes.output_tokens.mean():.0f} output tokens, longest {totals.max():,} together",
        highlight=False,
        soft_wrap=True,
    )
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("sizing fleets", total=trials(request))
        advice = advise(request, processes=command.processes, on_done=lambda: progress.advance(task))
    print_plan(advice, console)
    command.out.mkdir(parents=True, exist_ok=True)
    figures = command.out / "plan.json"
    figures.write_text(json.dumps(as_document(advice), indent=1) + "\n", encoding="utf-8")
    console.print(f"figures: {figures}", highlight=False, soft_wrap=True)
    if advice.best is not None:
        fleet = command.out / "fleet.yaml"
        fleet.write_text(fleet_file(advice, advice.best, model=command.model), encoding="utf-8")
        console.print(f"fleet file: {fleet} (addresses are placeholders)", highlight=False, soft_wrap=True)
    picture = command.out / "plan.png"
    try:
        draw(advice, picture)
    except ModuleNotFoundError:
        console.print(
            "no plan.png: matplotlib is not installed; `pip install 'ttca-router[report]'` brings it",
            highlight=False,
        )
    else:
        console.print(f"plot: {picture}", highlight=False, soft_wrap=True)
    return advice.best is not None
