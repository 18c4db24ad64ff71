"""What is compared: a policy of the fleet file, who judges its answers, and one knob that trades time for success."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from loadgen.ttca.fleet import MOST_ATTEMPTS

DEFAULT_WORTH_SECONDS = 60.0
"""What a correct answer is worth where that is not the knob: the fleet file's default."""


class Knob(StrEnum):
    """What is varied."""

    WORTH = "seconds that a correct answer is worth"
    CAP = "attempts at most"


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """A policy with a knob.

    Attributes:
        title: Name for tables.
        policy: `policy.name` of the fleet file.
        knob: What is varied.
        values: Values that it takes in a full run.
        quick_values: The same in a quick run.
        is_verified: True when the gateway verifies and retries, False when the client does.
        repeats_itself: True to send temperature 0, by which the service knows that a model that failed would fail
            again, and leaves it out, whatever the policy.
    """

    title: str
    policy: str
    knob: Knob
    values: tuple[float, ...]
    quick_values: tuple[float, ...]
    is_verified: bool = False
    repeats_itself: bool = True

    def worth_seconds(self, value: float) -> float:
        """What a correct answer is worth at a value of the knob, in simulated seconds."""
        return value if self.knob is Knob.WORTH else DEFAULT_WORTH_SECONDS

    def client_attempts(self, value: float) -> int:
        """How often the client asks at a value of the knob; a verified answer is taken as it comes."""
        if self.is_verified:
            return 1
        return int(value) if self.knob is Knob.CAP else MOST_ATTEMPTS


_CAPS = (1.0, 2.0, 3.0, 4.0, 5.0)
_FEW_CAPS = (1.0, 3.0, 5.0)

BASELINE = "laar"
"""The arm at whose points the others are compared."""

ARMS: Mapping[str, Arm] = {
    "plan_verified": Arm(
        title="plan, verified in Envoy",
        policy="first_correct",
        knob=Knob.WORTH,
        values=(5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 640.0),
        quick_values=(10.0, 40.0, 320.0),
        is_verified=True,
    ),
    "plan_judged": Arm(
        title="plan, client judges",
        policy="first_correct",
        knob=Knob.CAP,
        values=_CAPS,
        quick_values=_FEW_CAPS,
    ),
    "laar": Arm(
        title="LAAR, infinite penalty",
        policy="laar",
        knob=Knob.CAP,
        values=_CAPS,
        quick_values=_FEW_CAPS,
    ),
    "laar_soft": Arm(
        title="LAAR, soft penalty",
        policy="laar",
        knob=Knob.CAP,
        values=_CAPS,
        quick_values=_FEW_CAPS,
        repeats_itself=False,
    ),
    "load_aware": Arm(
        title="load-aware", policy="load_aware", knob=Knob.CAP, values=_CAPS, quick_values=_FEW_CAPS
    ),
    "session_affinity": Arm(
        title="session affinity",
        policy="session_affinity",
        knob=Knob.CAP,
        values=_FEW_CAPS,
        quick_values=_FEW_CAPS,
        repeats_itself=False,
    ),
    "round_robin": Arm(
        title="round robin",
        policy="round_robin",
        knob=Knob.CAP,
        values=_FEW_CAPS,
        quick_values=_FEW_CAPS,
    ),
}
"""By name in `summary.json`."""
