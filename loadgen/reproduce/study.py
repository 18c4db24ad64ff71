"""What a study is, and what it is given: seed, size, data, and a pool of processes that shows how far it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from loadgen.reproduce.findings import StudyReport

Task = TypeVar("Task")
Outcome = TypeVar("Outcome")


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyContext:
    """What a study runs with.

    Attributes:
        seed: Of everything random; same seed, same figures.
        is_quick: True for few and short scenarios: minutes become seconds, intervals become wide.
        data: The data folder; None when it is not here and generators stand in.
        pool: Where scenarios run side by side.
        on_tasks: Told how many more scenarios there will be.
        on_done: Told that one of them is done.
    """

    seed: int
    is_quick: bool
    data: Path | None
    pool: ProcessPoolExecutor
    on_tasks: Callable[[int], None]
    on_done: Callable[[], None]

    def run_all(self, function: Callable[[Task], Outcome], tasks: Sequence[Task]) -> list[Outcome]:
        """Run a function of a module over tasks in the pool; results stand in the order of the tasks.

        Put the longest tasks first: the pool takes them in this order.
        """
        self.on_tasks(len(tasks))
        futures = {self.pool.submit(function, task): index for index, task in enumerate(tasks)}
        found: dict[int, Outcome] = {}
        for future in as_completed(futures):
            found[futures[future]] = future.result()
            self.on_done()
        return [found[index] for index in range(len(tasks))]


class Study(Protocol):
    """One study; its folder's `__init__` names an instance of it `STUDY`."""

    @property
    def key(self) -> str:
        """Name on the command line."""
        ...

    @property
    def title(self) -> str:
        """Title in the report."""
        ...

    def run(self, context: StudyContext) -> StudyReport:
        """Run it.

        Raises:
            FileNotFoundError: The data folder is there, but a file is missing.
        """
        ...
