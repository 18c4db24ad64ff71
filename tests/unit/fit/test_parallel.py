from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Self

import pytest

from extproc.fit import parallel
from extproc.fit.fleets import FLEETS
from extproc.fit.parallel import OTHER_SPLITS, Task, run_all, tasks


class HereAndNow:
    """A pool whose processes are this one."""

    def __init__(self, *_: object) -> None:
        self.asked: list[Any] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def submit(self, call: Callable[..., Any], *arguments: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(call(*arguments))
        return future


def test_every_trial_of_every_fleet_is_a_task() -> None:
    """Each set inside, and each fleet that has sets to leave out."""
    inside = [task for task in tasks() if task.data is not None]
    assert (1 + OTHER_SPLITS) * sum(len(fleet.inside) for fleet in FLEETS) == len(inside)
    assert len(set(tasks())) == len(tasks())
    assert sum(bool(fleet.across) for fleet in FLEETS) == len(tasks()) - len(inside)


def test_results_come_in_the_order_of_the_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Long trials run first, whatever order the tables have; the lengths are a trial of their own."""
    ran: list[Task] = []

    def run_one(task: Task, *_: object) -> tuple[Any, dict[str, object]]:
        ran.append(task)
        return task, {"title": task.title}

    monkeypatch.setattr(parallel, "ProcessPoolExecutor", HereAndNow)
    monkeypatch.setattr(parallel, "run_one", run_one)
    monkeypatch.setattr(parallel, "judge_lengths", lambda *_: [{"data": "longchat"}])
    titles: list[str] = []
    results = run_all(Path(), 0, 10, processes=2, advance=titles.append)

    expected: list[Any] = [task for task in tasks() if task.data is not None and not task.split]
    assert expected == results.trials
    assert [task.title for task in expected] == [each["title"] for each in results.inside]
    assert [f"{task.title}, split 2" for task in expected] == [
        each["title"] for each in results.inside_again[1]
    ]
    assert [task.title for task in tasks() if task.data is None] == [each["title"] for each in results.across]
    assert sorted(ran, key=lambda task: -task.weight) == ran
    assert [{"data": "longchat"}] == results.lengths
    assert len(tasks()) + 1 == len(titles)
