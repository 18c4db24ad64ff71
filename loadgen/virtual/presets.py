"""Do presets do what they are called after? Each runs the same traffic in virtual time: `python -m loadgen.virtual.presets`."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from extproc.decide.order import Policy
from extproc.decide.planner import Verification
from extproc.decide.weights import PRESETS, Preset, Reference, derived_reference_usd
from loadgen.data import data_folder
from loadgen.questions.catalog import load_questions
from loadgen.virtual.arms import POLICY, Workbench
from loadgen.virtual.deciders import RouterDecider
from loadgen.virtual.fleet import STUDY_TIERS, build_fleet
from loadgen.virtual.routers import build_router
from loadgen.virtual.scenario import Scenario
from loadgen.virtual.simulation import Simulation
from loadgen.virtual.summary import Figure, Summary, summarize

POLICIES = (Policy.FIRST_CORRECT, Policy.ROUTE_BALANCE)
"""Policies that take weights; the first verifies its answers and tries again, the second gives one."""

FIGURES = ("success", "mean_seconds_all", "attempts", "usd_per_correct")
REFERENCE_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One preset under one policy."""

    policy: Policy
    preset: Preset
    summary: Summary


def run_preset(bench: Workbench, scenario: Scenario, policy: Policy, preset: Preset) -> Row:
    """Simulate a preset, put in seconds by the fleet's own prices as the service puts it."""
    models = bench.questions.models
    fleet = build_fleet(models, STUDY_TIERS, instances=[scenario.instances] * len(models))
    reference = Reference(
        seconds=REFERENCE_SECONDS, usd=derived_reference_usd(fleet.topology, REFERENCE_SECONDS)
    )
    weights = PRESETS[preset]
    is_verified = policy is Policy.FIRST_CORRECT
    router = build_router(
        fleet,
        replace(
            POLICY,
            policy=policy,
            objective=reference.objective(weights, congestion_weight=1.0),
            weights=weights,
            verification=Verification.ALWAYS if is_verified else Verification.OFF,
        ),
        quality=bench.quality,
        training=bench.questions.training,
        rng=np.random.default_rng(scenario.seed),
    )
    asked, arrivals = scenario.traffic(bench.questions.held_out)
    run = Simulation(fleet, RouterDecider(router, client_judges=False, client_attempts=1)).run(
        asked, arrivals
    )
    return Row(policy=policy, preset=preset, summary=summarize(run, knob=0.0, seed=scenario.seed))


def table(rows: Sequence[Row]) -> Table:
    """For the terminal."""
    drawn = Table(title="presets, 95 % intervals over the questions")
    for column in ("policy", "preset", "correct", "mean time, s", "attempts", "mUSD per correct answer"):
        drawn.add_column(column)
    for row in rows:
        figures = row.summary.figures
        drawn.add_row(
            row.policy.value,
            row.preset.value,
            _shown(figures["success"], "{:.3f}".format),
            _shown(figures["mean_seconds_all"], "{:.2f}".format),
            f"{figures['attempts'].value:.2f}",
            _shown(figures["usd_per_correct"], lambda usd: f"{1e3 * usd:.4f}"),
        )
    return drawn


def document(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """As JSON-able figures."""
    return [
        {
            "policy": row.policy.value,
            "preset": row.preset.value,
            **{
                name: {
                    "value": row.summary.figures[name].value,
                    "ci95": [row.summary.figures[name].low, row.summary.figures[name].high],
                }
                for name in FIGURES
            },
        }
        for row in rows
    ]


def _shown(figure: Figure, form: Callable[[float], str]) -> str:
    return f"{form(figure.value)} [{form(figure.low)}, {form(figure.high)}]"


def study(
    rate: Annotated[float, typer.Option(help="Mean arrivals per second.")] = 15.0,
    requests: Annotated[int, typer.Option(min=10, help="Requests of each run.")] = 1500,
    seed: Annotated[int, typer.Option(help="Of arrivals, questions and resamples.")] = 1,
    out: Annotated[Path, typer.Option(help="Folder for the figures.")] = Path("out/virtual"),
) -> None:
    """Run every preset under the policies that take weights, on recorded questions or generated ones."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=130)
    questions = load_questions("zeroeval", data_folder(os.environ), seed=seed)
    kind = "recorded" if questions.is_recorded else "generated"
    console.print(f"questions: {len(questions.held_out)} to ask ({kind})", highlight=False)
    bench, scenario = Workbench(questions), Scenario(rate=rate, requests=requests, seed=seed)
    cases = [(policy, preset) for policy in POLICIES for preset in Preset]
    rows = [run_preset(bench, scenario, *case) for case in track(cases, "simulating", console=console)]
    console.print(table(rows))
    out.mkdir(parents=True, exist_ok=True)
    (out / "presets.json").write_text(json.dumps(document(rows), indent=1) + "\n", encoding="utf-8")
    console.print(f"figures: {out / 'presets.json'}", highlight=False)


if __name__ == "__main__":
    typer.run(study)
