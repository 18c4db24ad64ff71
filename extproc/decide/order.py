"""In which order candidates are tried: the policies, each a function from candidates to sort keys."""

from __future__ import annotations

from enum import StrEnum

import numpy as np

from extproc.fleet.snapshot import Floats, FleetSnapshot, Ints


class Policy(StrEnum):
    """How instances are preferred within the chosen pool."""

    LEAST_WORK = "least_work"
    SHORTEST_QUEUE = "shortest_queue"
    ROUND_ROBIN = "round_robin"
    RANDOM = "random"


def order(
    policy: Policy, rows: Ints, work_seconds: Floats, snapshot: FleetSnapshot, rng: np.random.Generator
) -> Ints:
    """Positions into `rows`, best first; suspect instances come last, ties go to whom was assigned longest ago."""
    last_assigned = snapshot.last_assigned[rows]
    match policy:
        case Policy.LEAST_WORK:
            key: Floats | Ints = work_seconds
        case Policy.SHORTEST_QUEUE:
            key = snapshot.sequences[rows]
        case Policy.ROUND_ROBIN:
            key = last_assigned
        case Policy.RANDOM:
            key = rng.random(len(rows))
    result: Ints = np.lexsort((last_assigned, key, snapshot.suspect[rows]))
    return result
