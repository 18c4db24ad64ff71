"""Runs of the study: one arm over all cells and knobs of one seed is one task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from loadgen.reproduce.laar.accuracy import Cell
from loadgen.reproduce.laar.arms import ARMS, Bench
from loadgen.reproduce.laar.hardware import build_instances
from loadgen.reproduce.laar.questions import draw_questions, without_text
from loadgen.virtual.simulation import Run, Simulation
from loadgen.virtual.summary import Summary, summarize

CONCURRENCY = 8
"""Clients that each ask one question at a time, as published."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What one process does at a time.

    Attributes:
        arm: A key of `ARMS`.
        values: Values of its knob.
        table: P(correct) by cell and model: the cells to run.
        seed: Of the questions.
        count: Questions to fit on, and to judge by, per cell.
        correlation: Of the models' difficulties.
        keeps_prefixes: True with prefix caches.
    """

    arm: str
    values: tuple[float, ...]
    table: Mapping[Cell, Mapping[str, float]]
    seed: int
    count: int
    correlation: float
    keeps_prefixes: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One run: an arm at one value of its knob in one cell."""

    arm: str
    knob: float
    cell: Cell
    seed: int
    run: Run


def run_task(task: Task) -> list[Point]:
    """Run an arm at every value of its knob in every cell."""
    cells = draw_questions(task.table, seed=task.seed, count=task.count, correlation=task.correlation)
    bench = Bench(cells)
    points = []
    for cell, questions in cells.items():
        fleet = build_instances(cell.length)
        for knob in task.values:
            decider = ARMS[task.arm].decider(bench, cell, fleet, knob)
            simulation = Simulation(fleet, decider, keeps_prefixes=task.keeps_prefixes)
            run = simulation.run_closed(questions.held_out, concurrency=CONCURRENCY)
            points.append(Point(arm=task.arm, knob=knob, cell=cell, seed=task.seed, run=_without_text(run)))
    return points


def _without_text(run: Run) -> Run:
    small = without_text([story.question for story in run.stories])
    stories = [replace(story, question=question) for story, question in zip(run.stories, small, strict=True)]
    return replace(run, stories=tuple(stories))


def joined(points: Sequence[Point], *, seed: int) -> Summary:
    """Figures over several runs of one arm at one knob, as if they were one; nothing counts as warm-up.

    Args:
        points: At least one.
        seed: Of the resamples.
    """
    busy = np.sum([list(point.run.busy_seconds.values()) for point in points], axis=0)
    whole = Run(
        stories=tuple(story for point in points for story in point.run.stories),
        busy_seconds={str(index): float(seconds) for index, seconds in enumerate(busy)},
        preemptions=sum(point.run.preemptions for point in points),
        seconds=sum(point.run.seconds for point in points),
    )
    return summarize(whole, knob=points[0].knob, seed=seed, warm_up_share=0.0)
