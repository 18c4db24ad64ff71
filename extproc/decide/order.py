"""The policies' names, and in which order instances are tried by their load alone: sort keys, lower first."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

import numpy as np

from extproc.fleet.snapshot import FleetSnapshot, Floats, Ints


class Policy(StrEnum):
    """How instances are preferred."""

    FIRST_CORRECT = "first_correct"
    ROUTE_BALANCE = "route_balance"
    LAAR = "laar"
    LOAD_AWARE = "load_aware"
    SESSION_AFFINITY = "session_affinity"
    LEAST_WORK = "least_work"
    DUAL_POOL = "dual_pool"
    SHORTEST_QUEUE = "shortest_queue"
    ROUND_ROBIN = "round_robin"
    RANDOM = "random"


Key = Callable[[Ints, Floats, FleetSnapshot, np.random.Generator], Floats | Ints]
"""From rows (shape (k,)), their predicted work in seconds (shape (k,)), the load and a generator to a key, shape (k,)."""


def least_work(
    _rows: Ints, work_seconds: Floats, _snapshot: FleetSnapshot, _rng: np.random.Generator
) -> Floats:
    """The least predicted work."""
    return work_seconds


def shortest_queue(
    rows: Ints, _work_seconds: Floats, snapshot: FleetSnapshot, _rng: np.random.Generator
) -> Floats:
    """The fewest sequences running or waiting."""
    return snapshot.sequences[rows]


def round_robin(
    rows: Ints, _work_seconds: Floats, snapshot: FleetSnapshot, _rng: np.random.Generator
) -> Ints:
    """Whoever was assigned longest ago."""
    return snapshot.last_assigned[rows]


def at_random(
    rows: Ints, _work_seconds: Floats, _snapshot: FleetSnapshot, rng: np.random.Generator
) -> Floats:
    """Anybody, with equal chances."""
    return rng.random(len(rows))


def order(
    key: Key, rows: Ints, work_seconds: Floats, snapshot: FleetSnapshot, rng: np.random.Generator
) -> Ints:
    """Positions into `rows`, best first; suspect instances come last, ties go to whom was assigned longest ago."""
    result: Ints = np.lexsort(
        (snapshot.last_assigned[rows], key(rows, work_seconds, snapshot, rng), snapshot.suspect[rows])
    )
    return result
