"""The frozen records that telemetry listens to. Whoever serves makes them; how they are shown is decided elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from extproc.calibrate.outcome import Outcome
from extproc.decide.plan import Plan
from extproc.errors import RoutingError
from extproc.facts.request import Api, RequestFacts
from extproc.verify.transport import CONTEXT_OVERFLOW
from extproc.verify.verdict import Verdict


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


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRecord:
    """One try of a plan that was verified or crossed models, told when the ATTEMPT filter was done with it.

    Attributes:
        traceparent: W3C context of Envoy's span for this ext_proc call; empty when the request is not traced.
        request_id: Envoy's `x-request-id`.
        decision_id: The plan's id.
        api: API of the request.
        address: Instance, `ip:port`.
        model: Name under which it serves the model.
        number: Upstream tries of the request so far, this one included; at least 1.
        chance: What the plan gave for its being correct; None when nobody estimated it.
        ability: Mean and standard deviation of the latent factor behind the chances; None when nobody estimated it.
        verdict: The word on its answer.
        is_verified: True when the plan wanted a verdict; the answer may have been unfit for one all the same.
        is_last: True when no attempt could follow.
        goes_on: True when Envoy was asked for the next attempt, or makes it by itself.
        next_address: Instance at which Envoy was asked to make it; empty when it was not asked.
        has_answer: False when the try ended without one: it failed, was given up, or the client left.
        budget: Why the plan went on or stopped after a rejection; empty when that was not asked.
        has_session: True when the client judges for itself.
        prompt_tokens: Prompt tokens as the instance counted them; None when unknown.
        completion_tokens: Output tokens as the instance counted them; None when unknown.
        choices: Answers that were asked for.
        was_cut: True when a limit ended one of the answers, the client's or the instance's; False when nobody looked.
        answer_seconds: From the try's start until the whole answer had come, before it was judged; None without one.
        elapsed_seconds: Since TTCA began to count; None when that is unknown.
        start_unix_ns: When the try began.
        end_unix_ns: When its answer had come and was judged; for one that went on unread, when its headers had come.
    """

    traceparent: str
    request_id: str
    decision_id: str
    api: Api
    address: str
    model: str
    number: int
    chance: float | None
    ability: tuple[float, float] | None
    verdict: Verdict
    is_verified: bool
    is_last: bool
    goes_on: bool
    has_answer: bool
    budget: str
    has_session: bool
    completion_tokens: int | None
    elapsed_seconds: float | None
    start_unix_ns: int
    end_unix_ns: int
    next_address: str = ""
    prompt_tokens: int | None = None
    choices: int = 1
    was_cut: bool = False
    answer_seconds: float | None = None

    @property
    def is_overflow(self) -> bool:
        """True when the instance found the request too long, and another one was asked for."""
        return self.goes_on and self.verdict.reason == CONTEXT_OVERFLOW

    @property
    def seconds(self) -> float:
        """How long the try took."""
        return (self.end_unix_ns - self.start_unix_ns) / 1e9


class Listener(Protocol):
    """Told of everything that happens to requests; must not raise and must not block."""

    def decided(self, record: DecideRecord) -> None:
        """Hear of a finished DECIDE exchange."""

    def attempted(self, record: AttemptRecord) -> None:
        """Hear of a finished try of a plan that was verified or crossed models."""

    def finished(self, outcome: Outcome) -> None:
        """Hear of a finished request."""
