"""The frozen records that telemetry listens to. Whoever serves makes them; how they are shown is decided elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from extproc.calibrate.outcome import Outcome
from extproc.decide.plan import Plan
from extproc.errors import RoutingError
from extproc.facts.request import RequestFacts


@dataclass(frozen=True, slots=True)
class Stage:
    """One timed part of a decision.

    Attributes:
        name: `parse`, `estimate`, `eligible`, `assign` or `encode`.
        start_unix_ns: Start, nanoseconds since the epoch.
        end_unix_ns: End, nanoseconds since the epoch.
    """

    name: str
    start_unix_ns: int
    end_unix_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DecideRecord:
    """One DECIDE exchange, told after its answer was handed to gRPC.

    Attributes:
        traceparent: W3C context of Envoy's span for this ext_proc call; empty when the request is not traced.
        request_id: Envoy's `x-request-id`.
        start_unix_ns: When the first message arrived.
        end_unix_ns: When the last answer was ready.
        facts: None when the request could not be parsed.
        plan: None when the request was refused.
        error: Why it was refused; None otherwise.
        stages: In order of time; empty when the request is not sampled.
    """

    traceparent: str
    request_id: str
    start_unix_ns: int
    end_unix_ns: int
    facts: RequestFacts | None
    plan: Plan | None
    error: RoutingError | None
    stages: tuple[Stage, ...]


class Listener(Protocol):
    """Told of everything that happens to requests; must not raise and must not block."""

    def decided(self, record: DecideRecord) -> None:
        """Hear of a finished DECIDE exchange."""

    def finished(self, outcome: Outcome) -> None:
        """Hear of a finished request."""
