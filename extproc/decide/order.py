"""In which order candidates are tried: the policies, each a function from candidates to sort keys."""

from __future__ import annotations

from enum import StrEnum

import numpy as np

from extproc.fleet.snapshot import FleetSnapshot, Floats, Ints


class Policy(StrEnum):
    """How instances are preferred within the chosen pool."""

    FIRST_CORRECT = "first_correct"
    LAAR = "laar"
    LOAD_AWARE = "load_aware"
    SESSION_AFFINITY = "session_affinity"
    LEAST_WORK = "least_work"
    SHORTEST_QUEUE = "shortest_queue"
    ROUND_ROBIN = "round_robin"
    RANDOM = "random"


WEIGHS_QUALITY = frozenset({Policy.FIRST_CORRECT, Policy.LAAR, Policy.LOAD_AWARE, Policy.SESSION_AFFINITY})
"""Policies that need chances and latencies; `first_correct` ranks for them, `order` for the others."""


def order(
    policy: Policy, rows: Ints, work_seconds: Floats, snapshot: FleetSnapshot, rng: np.random.Generator
) -> Ints:
    """Positions into `rows`, best first; suspect instances come last, ties go to whom was assigned longest ago."""
    last_assigned = snapshot.last_assigned[rows]
    match policy:
        case Policy.SHORTEST_QUEUE:
            key: Floats | Ints = snapshot.sequences[rows]
        case Policy.ROUND_ROBIN:
            key = last_assigned
        case Policy.RANDOM:
            key = rng.random(len(rows))
        case _:
            key = work_seconds
    result: Ints = np.lexsort((last_assigned, key, snapshot.suspect[rows]))
    return result
