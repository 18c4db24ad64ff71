"""Means of cells with their bootstrap over questions: the same resamples for every cell, so that differences are paired."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from loadgen.reproduce.route_balance.arms import Arm
from loadgen.reproduce.route_balance.cells import Cell, Load, Setting
from loadgen.reproduce.route_balance.frontier import dominated, hypervolume
from loadgen.virtual.summary import Figure

Floats = npt.NDArray[np.float64]

RESAMPLES: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """What hypervolume is measured from.

    Attributes:
        usd: Price of a request.
        seconds: Latency.
    """

    usd: float
    seconds: float


class Measured:
    """Everything that was measured on one set.

    Args:
        cells: What came of each setting.
        questions: Number of held-out questions.
        seed: Of the resamples.
    """

    def __init__(self, cells: Mapping[Setting, Cell], *, questions: int, seed: int) -> None:
        self.cells = cells
        rng = np.random.default_rng(seed)
        drawn = rng.multinomial(questions, np.full(questions, 1 / questions), size=RESAMPLES)
        self._counts: Floats = np.vstack([np.ones(questions), drawn])
        self._volumes: dict[tuple[tuple[Arm, ...], Load, Reference], Floats] = {}
        self._by_arm: dict[tuple[Arm, Load], list[Cell]] = {}
        for setting, cell in cells.items():
            self._by_arm.setdefault((setting.arm, setting.load), []).append(cell)

    def has(self, arm: Arm, load: Load) -> bool:
        """True when it was run."""
        return (arm, load) in self._by_arm

    def quality(self, arm: Arm, load: Load) -> Floats:
        """Share of right answers: first as measured, then by resample."""
        return self._mean(arm, load, lambda cell: cell.correct)

    def seconds(self, arm: Arm, load: Load) -> Floats:
        """Mean latency, the same."""
        return self._mean(arm, load, lambda cell: cell.seconds)

    def usd(self, arm: Arm, load: Load) -> Floats:
        """Mean price of a request, the same."""
        return self._mean(arm, load, lambda cell: cell.usd)

    def quantiles(self, arm: Arm, load: Load, share: float) -> Floats:
        """A quantile of the latency: as measured, then by resample."""
        cells = self._by_arm[arm, load]
        seconds = np.concatenate([cell.seconds for cell in cells])
        order = np.argsort(seconds, kind="stable")
        questions = np.concatenate([cell.questions for cell in cells])[order]
        sums = np.cumsum(self._counts[:, questions], axis=1)
        result: Floats = seconds[order][np.argmax(sums >= share * sums[:, -1:], axis=1)]
        return result

    def shares(self, arm: Arm, load: Load) -> Floats:
        """Share of the tries by model."""
        result: Floats = np.mean([cell.shares for cell in self._by_arm[arm, load]], axis=0)
        return result

    def throughput(self, arm: Arm, load: Load) -> float:
        """All requests over the time until the last one ended, per second."""
        return float(np.mean([cell.throughput for cell in self._by_arm[arm, load]]))

    def points(self, arms: Sequence[Arm], load: Load, reference: Reference) -> Floats:
        """Points as `frontier` wants them, shape (1 + resamples, arms, 3): as measured, then by resample."""
        columns = [
            np.column_stack(
                [
                    1.0 - self.quality(arm, load),
                    self.usd(arm, load) / reference.usd,
                    self.seconds(arm, load) / reference.seconds,
                ]
            )
            for arm in arms
        ]
        return np.stack(columns, axis=1)

    def hypervolumes(self, arms: Sequence[Arm], load: Load, reference: Reference) -> Floats:
        """Hypervolume of a family: as measured, then by resample."""
        key = (tuple(arms), load, reference)
        found = self._volumes.get(key)
        if found is None:
            points = self.points(arms, load, reference)
            found = self._volumes[key] = np.array([hypervolume(one) for one in points])
        return found

    def coverage(self, arms: Sequence[Arm], of: Sequence[Arm], load: Load, reference: Reference) -> Floats:
        """Share of the points `of` that one of `arms` dominates: as measured, then by resample."""
        ours, theirs = self.points(arms, load, reference), self.points(of, load, reference)
        return np.array([dominated(b, a).mean() for a, b in zip(ours, theirs, strict=True)])

    def _mean(self, arm: Arm, load: Load, column: Callable[[Cell], Floats]) -> Floats:
        cells = self._by_arm[arm, load]
        questions = np.concatenate([cell.questions for cell in cells])
        values = np.concatenate([column(cell) for cell in cells])
        sums = np.bincount(questions, weights=values, minlength=self._counts.shape[1])
        sizes = np.bincount(questions, minlength=self._counts.shape[1])
        result: Floats = (self._counts @ sums) / (self._counts @ sizes)
        return result


def figure(values: Floats, *, scale: float = 1.0) -> Figure:
    """A figure of values as measured and by resample."""
    low, high = np.quantile(values[1:], (0.025, 0.975))
    return Figure(scale * float(values[0]), scale * float(low), scale * float(high))
